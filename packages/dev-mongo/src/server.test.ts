import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { MongoClient } from 'mongodb'
import { expect, test, vi } from 'vitest'
import { isAlive } from './guarded-process.ts'
import { startMongo } from './start-mongo.ts'

const prefer = 'secantusdb'
const repository = fileURLToPath(new URL('../../../', import.meta.url))
const library = new URL('./index.ts', import.meta.url).href

/** Runs a program that starts a database and says so with its pid and its data folder. */
async function parentOfDatabase(then: string) {
  const program = `
    import { startMongo } from ${JSON.stringify(library)}
    const database = await startMongo({ prefer: '${prefer}' })
    ${then}
    // Last, so that whoever reads it finds everything set up.
    console.log(JSON.stringify({ pid: database.pid }))`
  const parent = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
    cwd: repository,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(createInterface({ input: parent.stdout }), 'line')) as [string]
  const { pid } = JSON.parse(line) as { pid: number }
  return { parent, pid }
}

async function dataFolderOf(pid: number): Promise<string> {
  const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0')
  return command[command.indexOf('--storage-path') + 1]!
}

test('a database killed with SIGKILL starts again on the same port with what was acknowledged', async () => {
  const database = await startMongo({ prefer, syncOnCommit: true })
  const client = new MongoClient(database.uri)
  try {
    const notes = client.db('test').collection('notes')
    await notes.insertMany([{ n: 1 }, { n: 2 }])
    const before = database.pid!
    await database.kill!()
    expect(isAlive(before)).toBe(false)
    await database.restart!()
    expect(database.pid).not.toBe(before)
    expect(await notes.countDocuments()).toBe(2)
  } finally {
    await client.close()
    await database.stop()
  }
}, 300_000)

test('a database that is stopped may be stopped again, and is not started again', async () => {
  const database = await startMongo({ prefer })
  await Promise.all([database.stop(), database.stop()])
  await database.stop()
  expect(isAlive(database.pid!)).toBe(false)
  await expect(database.restart!()).rejects.toMatchObject({ code: 'DATABASE_STOPPED' })
}, 60_000)

test('a stopped database can be let go on: SIGSTOP and SIGCONT return at once', async () => {
  const database = await startMongo({ prefer })
  await database.kill!('SIGSTOP')
  await database.kill!('SIGCONT')
  expect(isAlive(database.pid!)).toBe(true)
  await database.kill!('SIGSTOP')
  await database.stop()
  expect(isAlive(database.pid!)).toBe(false)
}, 60_000)

test('a database ends with its parent, even when that is killed', async () => {
  const { parent, pid } = await parentOfDatabase('setInterval(() => {}, 1000)')
  const folder = existsSync('/proc') ? await dataFolderOf(pid) : undefined
  parent.kill('SIGKILL')
  await once(parent, 'exit')
  await vi.waitFor(() => expect(isAlive(pid)).toBe(false), { timeout: 30_000, interval: 20 })
  if (folder) await vi.waitFor(() => expect(existsSync(folder)).toBe(false), { timeout: 30_000, interval: 20 })
}, 60_000)

test('a database that was never stopped does not keep its parent from ending', async () => {
  const { parent, pid } = await parentOfDatabase('')
  const [code] = parent.exitCode === null ? await once(parent, 'exit') : [parent.exitCode]
  expect(code).toBe(0)
  await vi.waitFor(() => expect(isAlive(pid)).toBe(false), { timeout: 30_000, interval: 20 })
}, 60_000)

test('Ctrl-C in the terminal does not reach the database', async () => {
  const { parent, pid } = await parentOfDatabase(`
    process.once('SIGINT', async () => {
      process.kill(database.pid, 0)
      await database.stop()
      process.exit(7)
    })
    setInterval(() => {}, 1000)`)
  // A terminal signals the process group, of which the database must not be a member.
  expect(() => process.kill(-pid, 0)).toThrow()
  parent.kill('SIGINT')
  expect(await once(parent, 'exit')).toEqual([7, null])
  expect(isAlive(pid)).toBe(false)
}, 60_000)
