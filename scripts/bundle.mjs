/*
 * Builds the JavaScript of the package in the current folder: a file for each entry, and a few with what entries share. A process starts
 * in two thirds of the time that one file for each module takes. `tsc` writes the types. The entries are the package's exports and commands, and the
 * arguments: files that start in a thread or a process of their own, such as `src/renewal-thread.js`.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { rolldown } from 'rolldown'

const DIST = 'dist'
/** Chunks are at the top of `dist`, so only modules at the top of `src` may use paths relative to themselves. */
const CHUNK = /^chunk-.*\.js(\.map)?$/

const { exports = {}, bin = {} } = JSON.parse(readFileSync('package.json', 'utf8'))
const built = [...Object.values(exports).map((one) => one.default ?? one), ...Object.values(bin)]
  .filter((file) => file.startsWith(`./${DIST}/`) && file.endsWith('.js'))
  .map((file) => file.slice(`./${DIST}/`.length, -'.js'.length))
const others = process.argv.slice(2).map((file) => file.replace(/^src\//, '').replace(/\.[jt]s$/, ''))
const source = (/** @type {string} */ name) =>
  ['ts', 'js'].map((kind) => join('src', `${name}.${kind}`)).find((file) => existsSync(file))
const input = Object.fromEntries([...new Set([...built, ...others])].map((name) => [name, source(name)]))

const bundle = await rolldown({
  input,
  platform: 'node',
  external: (id, importer) => importer !== undefined && !id.startsWith('.') && !isAbsolute(id),
  transform: { target: 'node20.19' },
  onLog: (_, { message }) => {
    throw new Error(message)
  },
})
for (const file of existsSync(DIST) ? readdirSync(DIST) : []) if (CHUNK.test(file)) rmSync(join(DIST, file))
await bundle.write({
  dir: DIST,
  format: 'esm',
  sourcemap: true,
  entryFileNames: '[name].js',
  chunkFileNames: 'chunk-[name]-[hash].js',
})
await bundle.close()
