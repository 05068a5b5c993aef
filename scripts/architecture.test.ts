import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')

/** Which of the fleet's own packages each room may import; the direction of the whole. */
const MAY_IMPORT: Record<string, RegExp> = {
  'packages/core': /^$/,
  'packages/worker': /^@taskfleet\/(core|core\/client|core\/testing|core\/protocol|monitor-ui\/package\.json)$/,
  'packages/monitor-ui': /^@taskfleet\/core\/(protocol|client)$/,
  'packages/react': /^@taskfleet\/core\/(protocol|client)$/,
  'examples/downloads': /^@taskfleet\/(core|core\/client|core\/mongo|core\/testing|worker|worker\/main)$/,
  'examples/events': /^@taskfleet\/(core|core\/client|core\/mongo|worker)$/,
  'examples/page': /^@taskfleet\/(core\/client|core\/protocol|react)$/,
}

/** Libraries that a room must do without. */
const FORBIDDEN: Record<string, RegExp> = {
  'packages/core': /^(socket\.io|react|fastify|commander)(\/|$)/,
  'packages/monitor-ui': /^(mongoose|mongodb|socket\.io|fastify|node:)/,
  'packages/react': /^(mongoose|mongodb|socket\.io|fastify|zustand|node:)/,
}

function sources(folder: string): string[] {
  return readdirSync(join(root, folder, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(ts|tsx|js)$/.test(file) && !/\.test\.tsx?$|^(testing|faults|e2e)\//.test(file))
    .map((file) => join(root, folder, 'src', file))
}

function imports(file: string): string[] {
  const text = readFileSync(file, 'utf8')
  return [...text.matchAll(/(?:from|import|import\.meta\.resolve)\s*\(?\s*'([^']+)'/g)].map(
    ([, specifier]) => specifier!,
  )
}

describe.each(Object.keys(MAY_IMPORT))('%s', (folder) => {
  test('imports only what lies in its direction', () => {
    const wrong = sources(folder).flatMap((file) =>
      imports(file)
        .filter(
          (specifier) =>
            (specifier.startsWith('@taskfleet/') && !MAY_IMPORT[folder]!.test(specifier)) ||
            FORBIDDEN[folder]?.test(specifier),
        )
        .map((specifier) => `${relative(root, file)} imports ${specifier}`),
    )
    expect(wrong).toEqual([])
  })
})

test('what a browser loads reaches neither Node nor the database', () => {
  const seen = new Set<string>()
  const visit = (file: string): string[] => {
    if (seen.has(file)) return []
    seen.add(file)
    return imports(file).flatMap((specifier) =>
      specifier.startsWith('.') ? visit(resolve(dirname(file), specifier)) : [`${relative(root, file)} → ${specifier}`],
    )
  }
  const reached = ['protocol.ts', 'client/index.ts'].flatMap((entry) => visit(join(root, 'packages/core/src', entry)))
  expect(reached.filter((one) => !one.endsWith('→ socket.io-client'))).toEqual([])
})

/** It ends the processes of handlers when its own ends, which nothing else may do for it. */
const ENDS_WITH_THE_PROCESS = 'packages/worker/src/isolate/process-pool.ts'

test('only the command line and what starts or runs in a process of its own know the process', () => {
  const knows = sources('packages/worker')
    .filter(
      (file) =>
        !/\/(cli|faults)\/|\/isolate\/\w+-main\.js$/.test(file) &&
        /\bprocess\.(exit|argv|env|on|once)\b/.test(readFileSync(file, 'utf8')),
    )
    .map((file) => relative(root, file))
  expect(knows.filter((file) => file !== 'packages/worker/src/main.ts')).toEqual([ENDS_WITH_THE_PROCESS])
})
