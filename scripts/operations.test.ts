import { readFileSync, writeFileSync } from 'node:fs'
import { OPERATIONS, type Operation } from '@taskfleet/protocol'
import { startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { runCli } from 'taskfleet'
import { expect, test, vi } from 'vitest'

const fleet = useFleet()
const page = new URL('../docs/protocol.md', import.meta.url)
const BEGIN = '<!-- operations: written by scripts/operations.test.ts -->'
const END = '<!-- /operations -->'

const operations = Object.entries(OPERATIONS).flatMap(([aggregate, verbs]) =>
  Object.entries(verbs as Record<string, Operation>).map(([verb, one]) => ({ name: `${aggregate}.${verb}`, ...one })),
)

/** Routes that are another way to an operation, or no operation of a fleet. */
const OTHER_ROUTES = [
  /^GET \/tasks$/,
  /^POST \/tasks\/(cancel|pause|resume|retry|replay|reprioritise)$/,
  /^GET \/tasks\/:id\/(attempts|audit)$/,
  /^GET \/(stats|set-aside)$/,
  /^POST \/sessions$/,
]

test('the table in docs/protocol.md is the table of operations', () => {
  const rows = operations.map(({ name, scope, rest, cli, summary }) => {
    const code = (text: string | null): string => (text === null ? '' : `\`${text}\``)
    return `| \`${name}\` | \`${scope}\` | ${code(rest)} | ${code(cli)} | ${summary} |`
  })
  const table = ['| operation | scope | REST | command | does |', '|---|---|---|---|---|', ...rows].join('\n')
  const text = readFileSync(page, 'utf8')
  const from = text.indexOf(BEGIN) + BEGIN.length
  const to = text.indexOf(END)
  if (process.env.TASKFLEET_WRITE_DOCS === '1') {
    writeFileSync(page, `${text.slice(0, from)}\n\n${table}\n\n${text.slice(to)}`)
  } else expect(text.slice(from, to).trim(), 'TASKFLEET_WRITE_DOCS=1 writes it').toBe(table)
})

test('each operation has its REST route with the same scope, and each route its operation', async () => {
  const { url } = await startGateway(fleet)
  const { paths } = (await (await fetch(`${url}/api/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { 'x-scope': string }>>
  }
  const routes = new Map(
    Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, route]) => [
        `${method.toUpperCase()} ${path.replace(/^\/api\/v1/, '').replace(/\{(\w+)\}/g, ':$1')}`,
        route['x-scope'],
      ]),
    ),
  )
  for (const { name, rest, scope } of operations) {
    if (rest !== null) expect(`${name}: ${routes.get(rest)}`).toBe(`${name}: ${scope}`)
  }
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
