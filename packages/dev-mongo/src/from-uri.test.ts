import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort } from './free-port.ts'
import { checkUri } from './from-uri.ts'
import { type GuardedProcess, spawnGuarded } from './guarded-process.ts'
import { maskSecrets } from './index.ts'
import { installSecantus } from './secantus.ts'
import { startMongo } from './start-mongo.ts'

let folder = ''
let port = 0
let standalone: GuardedProcess

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taskfleet-test-'))
  port = await freePort()
  const file = await installSecantus({ env: process.env, log: () => {} })
  await new Promise<void>((resolve, reject) => {
    spawnGuarded({
      file,
      args: ['-m', 'secantus', '--standalone', '--port', String(port), '--storage-path', folder],
      cwd: folder,
      env: process.env,
      onLine: (line) => line.includes('listening on') && resolve(),
    }).then((server) => {
      standalone = server
      void server.exited.then(() => reject(new Error('the standalone server ended')))
    }, reject)
  })
}, 300_000)

afterAll(async () => {
  await standalone.stop()
  await rm(folder, { recursive: true })
})

test('a standalone server is refused with the remedy', async () => {
  const env = { TASKFLEET_MONGO_URI: `mongodb://127.0.0.1:${port}/` }
  await expect(startMongo({ env })).rejects.toMatchObject({
    code: 'NEEDS_REPLICA_SET',
    field: 'TASKFLEET_MONGO_URI',
    message: expect.stringMatching(/standalone.*mongod --replSet rs0.*rs\.initiate\(\)/),
  })
})

test('also where the URI asks for a replica set, which no driver then finds', async () => {
  const uri = `mongodb://127.0.0.1:${port}/?replicaSet=rs0&w=majority`
  await expect(checkUri(uri, 1_000)).rejects.toMatchObject({ code: 'NEEDS_REPLICA_SET' })
})

test('a URI behind which nothing answers is named without its password', async () => {
  const uri = `mongodb://ana:geheim@127.0.0.1:${await freePort()}/?authSource=admin`
  const failure = (await checkUri(uri, 500).catch((error: unknown) => error)) as Error
  expect(failure).toMatchObject({ code: 'DATABASE_UNREACHABLE', message: expect.stringContaining('//***@127.0.0.1') })
  expect(failure.message).not.toContain('geheim')
})

test('a text that is no URI is refused in the same way', async () => {
  await expect(checkUri('localhost')).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' })
})

test.each([
  ['mongodb://ana:p%40ss:w@a,b/?x=1', 'mongodb://***@a,b/?x=1'],
  ['failed: mongodb+srv://ana:p@ss@host/db and more', 'failed: mongodb+srv://***@host/db and more'],
  [
    'mongodb://a/?tls=true&tlsCertificateKeyFilePassword=p&w=1',
    'mongodb://a/?tls=true&tlsCertificateKeyFilePassword=***&w=1',
  ],
  ['mongodb://127.0.0.1:27017/', 'mongodb://127.0.0.1:27017/'],
])('passwords are masked in %s', (text, masked) => {
  expect(maskSecrets(text)).toBe(masked)
})
