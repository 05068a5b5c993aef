import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { type Bed, onBed } from './bed.ts'

// `pnpm bench` runs every question, `pnpm bench download-vs-curl` (or `--download-vs-curl`) one. Each prints its figures with the floor beside them.
const folder = dirname(fileURLToPath(import.meta.url))
const questions = readdirSync(folder)
  .filter((file) => file.endsWith('.bench.ts'))
  .map((file) => file.replace('.bench.ts', ''))
const asked = process.argv.slice(2).map((name) => name.replace(/^--/, ''))
const unknown = asked.filter((name) => !questions.includes(name))
if (unknown.length > 0) {
  process.stderr.write(`There is no bench '${unknown.join("', '")}'; there are ${questions.join(', ')}\n`)
  process.exit(2)
}
for (const question of asked.length > 0 ? asked : questions) {
  process.stdout.write(`\n# ${question}\n`)
  const { run } = (await import(pathToFileURL(join(folder, `${question}.bench.ts`)).href)) as {
    run: (bed: Bed) => Promise<void>
  }
  await onBed(run)
}
