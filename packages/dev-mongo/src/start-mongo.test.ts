import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { installSecantus } from './secantus.ts'
import { startMongo } from './start-mongo.ts'
import type { RunningMongo, StartMongoOptions } from './types.ts'

const running: RunningMongo[] = []
let root = ''
let python = ''
let lines: string[] = []

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'taskfleet-test-'))
  python = await installSecantus({ env: process.env, log: () => {} })
}, 300_000)

afterEach(async () => {
  lines = []
  for (const database of running.splice(0).reverse()) await database.stop()
})

afterAll(() => rm(root, { recursive: true }))

/** A machine with the programs given on its PATH, without network, and with the real cache of stand-ins. */
async function machine(name: string, programs: Record<string, string>, env: NodeJS.ProcessEnv = {}) {
  const bin = join(root, name)
  await mkdir(bin)
  for (const [program, script] of Object.entries(programs)) {
    await writeFile(join(bin, program), `#!/bin/sh\n${script}\n`)
    await chmod(join(bin, program), 0o755)
  }
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache')
  // A version that doesn't exist isn't in mongodb-memory-server's cache either.
  const offline = { MONGOMS_RUNTIME_DOWNLOAD: 'false', MONGOMS_VERSION: '7.0.999' }
  return { PATH: bin, HOME: root, XDG_CACHE_HOME: cache, ...offline, ...env }
}

/** A stand-in that understands the flags with which `mongod` is started. */
const mongod = () => `echo 'Waiting for connections'; exec ${python} -m secantus --port "$4" --storage-path "$6"`
const secantusRust = () => `exec ${python} -m secantus "$@"`
const broken = 'echo "libssl.so.3: cannot open shared object" >&2; exit 127'

async function start(options: StartMongoOptions): Promise<RunningMongo> {
  const database = await startMongo({ log: (line) => lines.push(line), ...options })
  running.push(database)
  return database
}

describe('startMongo takes the first database that can be had', { timeout: 120_000 }, () => {
  test('the URI comes first, and the database behind it is not stopped', async () => {
    const own = await start({ env: await machine('uri-own', {}), prefer: 'secantusdb' })
    const env = await machine('uri', { mongod: mongod() }, { TASKFLEET_MONGO_URI: own.uri })
    const database = await start({ env })
    expect(database).toMatchObject({ source: 'uri', standIn: false, uri: own.uri })
    expect(database.kill).toBeUndefined()
    await database.stop()
    expect(() => process.kill(own.pid!, 0)).not.toThrow()
  })

  test('then mongod on PATH', async () => {
    const env = await machine('mongod', { mongod: mongod(), 'secantusd-rs': secantusRust() })
    expect(await start({ env })).toMatchObject({ source: 'mongod', standIn: false })
    expect(lines).toEqual([expect.stringMatching(/MongoDB \(.*mongod\) on mongodb:.* · set TASKFLEET_MONGO_URI/)])
  })

  test('or the mongod that MONGOMS_SYSTEM_BINARY names', async () => {
    const other = await machine('named-bin', { 'mongod-8': mongod() })
    const file = join(other.PATH, 'mongod-8')
    const env = await machine('named', { 'secantusd-rs': secantusRust() }, { MONGOMS_SYSTEM_BINARY: file })
    expect(await start({ env })).toMatchObject({ source: 'mongod' })
  })

  test('then secantusd-rs, also where mongod does not start', async () => {
    const env = await machine('rust', { mongod: broken, 'secantusd-rs': secantusRust() })
    expect(await start({ env })).toMatchObject({ source: 'secantusd-rs', standIn: true })
    expect(lines[0]).toMatch(/MongoDB .* did not start/)
    expect(lines[1]).toMatch(/not for production/)
  })

  test('then SecantusDB, where MongoDB cannot be downloaded', async () => {
    const database = await start({ env: await machine('python', {}) })
    expect(database).toMatchObject({ source: 'secantusdb', standIn: true })
    expect(lines.join('\n')).toMatch(/can't be downloaded[\s\S]*SecantusDB .* not for production.*TASKFLEET_MONGO_URI/)
  })

  test('a preferred source is the only one tried', async () => {
    const env = await machine('preferred', { mongod: mongod() })
    await expect(start({ env, prefer: 'secantusd-rs' })).rejects.toMatchObject({ code: 'NO_DATABASE' })
    expect(await start({ env, prefer: 'secantusdb' })).toMatchObject({ source: 'secantusdb' })
  })

  test('where there is none, the error lists what was tried and why each failed', async () => {
    const env = await machine('nothing', {}, { XDG_CACHE_HOME: join(root, 'empty-cache') })
    const failure = await startMongo({ env }).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'NO_DATABASE' })
    expect((failure as Error).message).toMatch(
      /uri: TASKFLEET_MONGO_URI is not set\n *mongod: no mongod on PATH.*\n *secantusd-rs: no .*\n *memory-server: .*download.*\n *secantusdb: .*CPython/,
    )
  })
})

describe('the data folder', { timeout: 120_000 }, () => {
  test('is refused while another server uses it, and serves the same address again afterwards', async () => {
    const options: StartMongoOptions = { dataDir: join(root, 'kept'), prefer: 'secantusdb' }
    const first = await start(options)
    await expect(start(options)).rejects.toMatchObject({ code: 'DATABASE_IN_USE' })
    await first.stop()
    expect((await start(options)).uri).toBe(first.uri)
  })

  test('a port that is taken is named', async () => {
    const first = await start({ prefer: 'secantusdb' })
    const port = Number(/:(\d+)\//.exec(first.uri)?.[1])
    await expect(start({ prefer: 'secantusdb', port })).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringContaining(String(port)),
    })
  })
})
