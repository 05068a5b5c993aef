import { readFileSync, writeFileSync } from 'node:fs'
import { OPERATIONS, type Operation } from '@taskfleet/protocol'
import { startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { runCli } from 'taskfleet'
import { expect, test, vi } from 'vitest'

const fleet = useFleet()
/** Compares a table in a document with what the code says, or writes it. */
function compareTable(file: string, name: string, head: string, rows: readonly string[]): void {
  const page = new URL(`../docs/${file}`, import.meta.url)
  const text = readFileSync(page, 'utf8')
  const begin = `<!-- ${name}: written by scripts/operations.test.ts -->`
  const from = text.indexOf(begin) + begin.length
  const to = text.indexOf(`<!-- /${name} -->`)
  const columns = head.split('|').length - 2
  const table = [head, `${'|---'.repeat(columns)}|`, ...rows].join('\n')
  if (process.env.TASKFLEET_WRITE_DOCS === '1') {
    writeFileSync(page, `${text.slice(0, from)}\n\n${table}\n\n${text.slice(to)}`)
  } else expect(text.slice(from, to).trim(), 'TASKFLEET_WRITE_DOCS=1 writes it').toBe(table)
}

const operations = Object.entries(OPERATIONS).flatMap(([aggregate, verbs]) =>
  Object.entries(verbs as Record<string, Operation>).map(([verb, one]) => ({ name: `${aggregate}.${verb}`, ...one })),
)

/** Routes that are another way to an operation, or no operation of a fleet. */
const OTHER_ROUTES = [
  /^GET \/tasks$/,
  /^POST \/tasks\/(cancel|pause|resume|retry|replay|reprioritise)$/,
  /^GET \/tasks\/:id\/(attempts|audit)$/,
  /^GET \/(stats|set-aside)$/,
  /^GET \/files\/:id$/,
  /^POST \/sessions$/,
]

test('the table in docs/protocol.md is the table of operations', () => {
  const rows = operations.map(({ name, scope, rest, cli, summary }) => {
    const code = (text: string | null): string => (text === null ? '' : `\`${text}\``)
    return `| \`${name}\` | \`${scope}\` | ${code(rest)} | ${code(cli)} | ${summary} |`
  })
  compareTable('protocol.md', 'operations', '| operation | scope | REST | command | does |', rows)
})

test('each operation has its REST route with the same scope, and each route its operation', async () => {
  const { url } = await startGateway(fleet)
  const { paths } = (await (await fetch(`${url}/api/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { 'x-scope': string; summary: string }>>
  }
  const routes = new Map(
    Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, route]) => [
        `${method.toUpperCase()} ${path.replace(/^\/api\/v1/, '').replace(/\{(\w+)\}/g, ':$1')}`,
        route,
      ]),
    ),
  )
  for (const { name, rest, scope } of operations) {
    if (rest !== null) expect(`${name}: ${routes.get(rest)?.['x-scope']}`).toBe(`${name}: ${scope}`)
  }
  const rows = [...routes].map(([route, { 'x-scope': scope, summary }]) => `| \`${route}\` | ${scope} | ${summary} |`)
  compareTable('rest.md', 'routes', '| route | scope | |', rows.sort(byPath))
  const known = new Set(operations.map(({ rest }) => rest))
  expect(
    [...routes.keys()].filter((route) => !known.has(route) && !OTHER_ROUTES.some((one) => one.test(route))),
  ).toEqual([])
})

test('each operation has its command', async () => {
  const write = vi.spyOn(process.stdout, 'write').mockImplementation(() => true)
  try {
    for (const { name, cli } of operations) {
      if (cli === null) continue
      write.mockClear()
      const code = await runCli([...cli.split(' '), '--help'])
      const said = write.mock.calls.map(([text]) => String(text)).join('')
      expect(`${name}: ${code} ${said.includes(`Usage: taskfleet ${cli} `)}`).toBe(`${name}: 0 true`)
    }
  } finally {
    write.mockRestore()
  }
})

/** Routes of one path stand together. */
function byPath(one: string, other: string): number {
  const path = (row: string): string => row.split('`')[1]!.split(' ')[1]!
  return path(one).localeCompare(path(other)) || one.localeCompare(other)
}
