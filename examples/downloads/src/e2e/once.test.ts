import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mongoUri } from '@taskfleet/testkit/mongo-uri'
import { afterEach, expect, test } from 'vitest'
import { type Demo, startDemo } from './demo.ts'

let demo: Demo | undefined
afterEach(async () => {
  await demo?.stop()
  demo = undefined
})

test('start --once downloads everything, prints the table and ends well, though a host is killed on the way', async () => {
  demo = await startDemo(['--once', '--kill', '--shared', '--scale', '0.05'], mongoUri())
  const code = await demo.closed
  const text = demo.lines.join('\n')
  expect(text).toMatch(/Monitor: http:\/\/127\.0\.0\.1:\d+\/#token=tf_/)
  expect(text).toMatch(/killed with SIGKILL/)
  // Two attempts, and the second went on with what the first had fetched before its host was killed, on the disk that they share.
  expect(text).toMatch(/carried-over\.img +completed +host-\w +2 +[\d.]+ MB +[\d.]+ [KM]B +checked/)
  expect(text).toMatch(/missing\.pdf +failed HTTP_404/)
  expect(text).toMatch(/forged\.bin +failed CHECKSUM_MISMATCH/)
  expect(text).toMatch(/14 of 14 ended as they should/)
  expect(code, text).toBe(0)
}, 180_000)

test('start refuses what it does not know, and says what it wants', async () => {
  demo = await startDemo(['--hosts', 'many'], mongoUri())
  expect(await demo.closed).not.toBe(0)
  expect(demo.lines.join('\n')).toMatch(/a whole number from 1 to 20 is wanted/)
})

test('start leaves a folder of downloads alone that it did not make, and says how to go on', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-foreign-'))
  try {
    await mkdir(join(folder, 'downloads'))
    await writeFile(join(folder, 'downloads', 'thesis.odt'), 'mine')
    demo = await startDemo(['--once', '--folder', folder], mongoUri())
    expect(await demo.closed).toBe(1)
    expect(demo.lines.join('\n')).toMatch(/downloads holds thesis\.odt, .*--folder.*--clean.*FOLDER_NOT_OURS/)
    expect(await readFile(join(folder, 'downloads', 'thesis.odt'), 'utf8')).toBe('mine')
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('start names --port, and who holds it, when the port of the monitor is taken', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  try {
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    demo = await startDemo(['--port', String(port)], mongoUri())
    expect(await demo.closed).toBe(1)
    const text = demo.lines.join('\n')
    expect(text).toMatch(new RegExp(`127\\.0\\.0\\.1:${port} is in use by .*--port.*EADDRINUSE`))
    if (process.platform === 'linux') expect(text).toContain(`process ${process.pid} `)
  } finally {
    server.close()
  }
})

test('Ctrl-C stops everything in order', async () => {
  demo = await startDemo(['--scale', '0.05'], mongoUri())
  await demo.line(/running on host/)
  void demo.signal('SIGINT')
  expect(await demo.closed).toBe(0)
  expect(demo.lines.join('\n')).toMatch(/Stopping in order/)
})
