import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { FleetClient } from '@taskfleet/client'
import { startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { runCli } from 'taskfleet'
import { expect, test, vi } from 'vitest'

const fleet = useFleet()
const root = new URL('../', import.meta.url)
const page = readFileSync(new URL('docs/contributing.md', root), 'utf8')

/** Each code block of the walk, with the file that the text before it names last. */
const steps = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map((block) => {
  const before = page.slice(0, block.index)
  const [, file] = [...before.matchAll(/`(packages\/[\w/.-]+\.ts)`/g)].at(-1)!
  return { file: file!, code: block[1]! }
})

test('the walk shows the code as it is', () => {
  expect(steps.map(({ file }) => file)).toEqual([
    'packages/protocol/src/operations.ts',
    'packages/core/src/commands/event-commands.ts',
    'packages/core/src/events/events.test.ts',
  ])
  for (const { file, code } of steps) expect(readFileSync(new URL(file, root), 'utf8'), file).toContain(code)
})

test('no other file says anything about the operation', () => {
  const files = execFileSync(
    'git',
    ['grep', '-lE', 'events[.] ?retry|/events/:id/retry', '--', 'packages', 'examples'],
    {
      cwd: root,
      encoding: 'utf8',
    },
  )
  expect(files.trim().split('\n')).toEqual(['packages/protocol/src/operations.ts'])
})

test('the operation works everywhere', async () => {
  const { url } = await startGateway(fleet)
  const client = new FleetClient({ url: url! })
  const { _id: id } = await fleet.fleet.as().events.post({ name: 'Walked' })
  const nothing = { matched: 0, changed: 0, refused: [] }
  try {
    expect(await fleet.fleet.as().events.retry(id)).toEqual(nothing)
    expect(await client.events.retry({ id, reason: 'a walk' })).toEqual(nothing)
    const posted = await fetch(`${url}/api/v1/events/${id}/retry`, { method: 'POST' })
    expect([posted.status, await posted.json()]).toEqual([200, nothing])
    const { paths } = (await (await fetch(`${url}/api/openapi.json`)).json()) as {
      paths: Record<string, Record<string, { 'x-scope': string }>>
    }
    expect(paths['/api/v1/events/{id}/retry']?.post?.['x-scope']).toBe('control')
    const write = vi.spyOn(process.stdout, 'write').mockImplementation(() => true)
    try {
      expect(await runCli(['events', 'retry', id, '--json', '--server', url!])).toBe(0)
      expect(JSON.parse(String(write.mock.lastCall?.[0]))).toEqual(nothing)
    } finally {
      write.mockRestore()
    }
  } finally {
    client.close()
  }
})
