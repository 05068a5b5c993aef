import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '@taskfleet/dev-mongo'
import { mongo } from 'mongoose'

/** The path of a real `mongod`; tests that need one are skipped without it. */
export const MONGOD = process.env.TASKFLEET_TEST_MONGOD || undefined
/** Why tests are skipped, for their titles. */
const WITHOUT = 'skipped: TASKFLEET_TEST_MONGOD names no mongod'
const PATIENCE_MS = 60_000

/** The title of a suite that needs a real replica set: with its tag, and with the reason if it is skipped. */
export const mongodTitle = (title: string): string => `@mongod ${title}${MONGOD === undefined ? ` (${WITHOUT})` : ''}`

interface ReplicaSetOptions {
  members?: number
  /** More arguments of each member. */
  args?: readonly string[]
  /** The first user, with all rights: members and clients then have to sign in. */
  root?: { user: string; password: string }
}

/** One member's process. */
export interface Member {
  readonly port: number
  /** Sends a signal, and waits until the process has ended. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Starts it again with its stored data. */
  start(): Promise<void>
}

/** A replica set of real `mongod` processes on this machine, with test commands. */
export class ReplicaSet {
  readonly members: readonly Member[]
  readonly #folder: string
  readonly #root: ReplicaSetOptions['root']

  private constructor(folder: string, members: readonly Member[], root: ReplicaSetOptions['root']) {
    this.#folder = folder
    this.members = members
    this.#root = root
  }

  static async start({ members = 3, args = [], root }: ReplicaSetOptions = {}): Promise<ReplicaSet> {
    if (MONGOD === undefined) throw new Error(WITHOUT)
    const folder = await mkdtemp(join(tmpdir(), 'taskfleet-set-'))
    const secured = root === undefined ? [] : await keyFileArguments(folder)
    const started: Member[] = []
    for (let n = 0; n < members; n += 1) {
      const member = new MemberProcess(MONGOD, join(folder, `member-${n}`), await freePort(), [...secured, ...args])
      await member.start()
      started.push(member)
    }
    const set = new ReplicaSet(folder, started, root)
    await set.#initiate()
    return set
  }

  /** Without a user. */
  get uri(): string {
    return this.uriFor()
  }

  /** The address of all members, for a user where one is given. */
  uriFor(user?: { user: string; password: string }, path = ''): string {
    const hosts = this.members.map(({ port }) => `127.0.0.1:${port}`).join(',')
    const who = user === undefined ? '' : `${encodeURIComponent(user.user)}:${encodeURIComponent(user.password)}@`
    return `mongodb://${who}${hosts}/${path}?replicaSet=rs0`
  }

  /** Runs something with a client that has all rights. */
  async asRoot<T>(act: (client: mongo.MongoClient) => Promise<T>): Promise<T> {
    const client = new mongo.MongoClient(this.uriFor(this.#root, this.#root === undefined ? '' : 'admin'))
    try {
      return await act(client)
    } finally {
      await client.close()
    }
  }

  /** Makes the primary step down, and resolves when there is another. */
  async stepDown(): Promise<void> {
    await this.asRoot(async (client) => {
      const before = await primaryPort(client)
      // Its connections may break instead of an answer.
      await client
        .db('admin')
        .command({ replSetStepDown: 30, secondaryCatchUpPeriodSecs: 10, force: true })
        .catch(() => undefined)
      await otherPrimary(client, before)
    })
  }

  /** Kills the primary, and resolves with it when there is another. */
  async killPrimary(): Promise<Member> {
    return this.asRoot(async (client) => {
      const port = await primaryPort(client)
      const member = this.members.find((one) => one.port === port)!
      await member.kill('SIGKILL')
      await otherPrimary(client, port)
      return member
    })
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill('SIGKILL')))
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }

  async #initiate(): Promise<void> {
    const [first] = this.members
    const direct = new mongo.MongoClient(`mongodb://127.0.0.1:${first!.port}/?directConnection=true`)
    try {
      const members = this.members.map(({ port }, _id) => ({ _id, host: `127.0.0.1:${port}` }))
      await direct.db('admin').command({ replSetInitiate: { _id: 'rs0', members } })
      await until(async () => (await direct.db('admin').command({ hello: 1 })).isWritablePrimary === true)
      if (this.#root === undefined) return
      const { user, password } = this.#root
      await direct.db('admin').command({ createUser: user, pwd: password, roles: ['root'] })
    } finally {
      await direct.close()
    }
  }
}

class MemberProcess implements Member {
  readonly port: number
  readonly #mongod: string
  readonly #folder: string
  readonly #args: readonly string[]
  #process: ChildProcess | undefined

  constructor(mongod: string, folder: string, port: number, args: readonly string[]) {
    this.#mongod = mongod
    this.#folder = folder
    this.port = port
    this.#args = args
  }

  async start(): Promise<void> {
    await mkdir(this.#folder, { recursive: true })
    const args = ['--replSet', 'rs0', '--port', String(this.port), '--bind_ip', '127.0.0.1', '--dbpath', this.#folder]
    const test = ['--setParameter', 'enableTestCommands=1']
    this.#process = spawn(this.#mongod, [...args, ...test, ...this.#args], { stdio: ['ignore', 'ignore', 'inherit'] })
    const client = new mongo.MongoClient(`mongodb://127.0.0.1:${this.port}/?directConnection=true`, {
      serverSelectionTimeoutMS: 1_000,
    })
    try {
      await until(() => client.db('admin').command({ hello: 1 }))
    } finally {
      await client.close()
    }
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#process
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }
}

/** Members of a set with users prove by a file that they belong to it. */
async function keyFileArguments(folder: string): Promise<string[]> {
  const file = join(folder, 'key')
  await writeFile(file, randomBytes(96).toString('base64'), { mode: 0o600 })
  return ['--auth', '--keyFile', file]
}

async function primaryPort(client: mongo.MongoClient): Promise<number> {
  const { primary } = await client.db('admin').command({ hello: 1 })
  return Number(String(primary).split(':')[1])
}

const otherPrimary = (client: mongo.MongoClient, before: number): Promise<void> =>
  until(async () => {
    const port = await primaryPort(client)
    return Number.isInteger(port) && port !== before
  })

/** Repeats the check until it is true; an error counts as false. */
async function until(isSo: () => Promise<unknown>): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  for (;;) {
    const answer = await isSo().catch(() => false)
    if (answer !== false && answer !== undefined) return
    if (performance.now() > end) throw new Error(`not so within ${PATIENCE_MS} ms`)
    await sleep(250)
  }
}
