import { isDeepStrictEqual } from 'node:util'
import { parseNewTask } from '@taskfleet/core/internal'
import { type EventRow, hasEnded, type TaskRow } from '@taskfleet/protocol'

interface LoadMixOptions {
  /** The gateway. */
  url: string
  token: string
  /** Where the handlers note what they do. */
  journal: string
  random: () => number
}

/** `parked` ones wait for a date that does not come, so that each of their revisions is known; `long` ones run until cancelled. */
type Kind = 'quick' | 'long' | 'parked'

/** The acknowledged state of a task. */
interface Entry {
  id: string
  kind: Kind
  queue: 'quick' | 'parked'
  input: { n: number; ms: number; journal: string }
  priority: number
  runAt?: string
  /** Its final status; null while its `POST` is not acknowledged. */
  fate: 'waits' | 'cancelled' | 'completed' | 'removed' | null
  /** Undefined once workers write it too. */
  rev: number | undefined
  /** It has ended, and will not run again. */
  ended: boolean
  /** A request that changes it is under way. */
  busy: boolean
}

/** A list that is read page by page while tasks come and go. */
interface Reading {
  queue: Entry['queue']
  cursor?: string
  seen: Set<string>
  /** Were there when the reading began. */
  due: Entry[]
}

interface Answer {
  status: number
  headers: Headers
  body: Record<string, unknown>
}

const AHEAD_MS = 3_600_000
const LONG_MS = 3_600_000
const QUICK_MS = 20
const MOST_LONG = 4
const PAGE = 50
const EVENT = 'Tick'
/** The share of each action, of a hundred requests. */
const SHARES: Record<string, number> = {
  'post quick': 16,
  'post long': 2,
  'post parked': 10,
  'post again': 2,
  'post event': 4,
  'get list': 14,
  'get one': 8,
  patch: 12,
  reprioritise: 5,
  cancel: 8,
  retry: 4,
  delete: 15,
}
const DEEDS = Object.entries(SHARES).flatMap(([deed, share]) => Array.from({ length: share }, () => deed))

/**
 * The REST requests of many users, one at a time, and a record of what was acknowledged. Every answer is
 * compared with the record; differences are in `wrong`.
 */
export class LoadMix {
  readonly #options: LoadMixOptions
  readonly #book = new Map<string, Entry>()
  readonly #events = new Set<string>()
  readonly #readings: Reading[] = []
  readonly #deeds: Record<string, (since: number) => Promise<boolean>>
  #n = 0
  readonly wrong: string[] = []
  /** Milliseconds from the time when a request was due until its answer was read. */
  readonly took: number[] = []
  readonly done: Record<string, number> = {}
  /** How often a list was read from its beginning to its end. */
  readings = 0

  constructor(options: LoadMixOptions) {
    this.#options = options
    this.#deeds = {
      'post quick': (since) => this.#post('quick', since),
      'post long': async (since) => {
        const open = [...this.#book.values()].filter(({ kind, fate }) => kind === 'long' && fate === 'waits')
        return open.length < MOST_LONG && this.#post('long', since)
      },
      'post parked': (since) => this.#post('parked', since),
      'post again': (since) => this.#postAgain(since),
      'post event': (since) => this.#postEvent(since),
      'get list': (since) => this.#getPage(since),
      'get one': (since) => this.#getOne(since),
      patch: (since) => this.#patch(since),
      reprioritise: (since) => this.#reprioritise(since),
      cancel: (since) => this.#cancel(since),
      retry: (since) => this.#retry(since),
      delete: (since) => this.#delete(since),
    }
  }

  /** What the events need. */
  async prepare(): Promise<void> {
    const callback = { event: EVENT, task: 'steady', defaults: { queue: 'events' } }
    await this.#call(201, 'POST', '/callbacks', callback)
  }

  /** One random request; if its kind is impossible now, a quick task is posted. */
  async step(since: number): Promise<void> {
    const deed = DEEDS[this.#below(DEEDS.length)]!
    try {
      const name = (await this.#deeds[deed]!(since)) ? deed : 'post quick'
      if (name !== deed) await this.#post('quick', since)
      this.done[name] = (this.done[name] ?? 0) + 1
    } catch (error) {
      this.wrong.push(`${deed}: ${String(error)}`)
    }
  }

  /** Ends tasks that would run for ever. */
  async wind(): Promise<void> {
    for (const entry of this.#entries(({ kind, fate }) => kind === 'long' && fate === 'waits')) {
      await this.#call(200, 'POST', `/tasks/${entry.id}/cancel`, {})
      entry.fate = 'cancelled'
    }
  }

  /** Compares everything readable with everything acknowledged, at rest. */
  async readBack(): Promise<void> {
    const stored = new Map<string, TaskRow>()
    for (const queue of ['quick', 'parked']) {
      const fields = 'name,queue,input,priority,basePriority,runAt,status,rev'
      for (let cursor: string | undefined; ; ) {
        const query = new URLSearchParams({ queue, fields, limit: '1000', ...(cursor === undefined ? {} : { cursor }) })
        const { body } = await this.#call(200, 'GET', `/tasks?${query}`)
        for (const row of body.tasks as TaskRow[]) stored.set(row._id, row)
        cursor = body.cursor as string | undefined
        if (cursor === undefined) break
      }
    }
    for (const entry of this.#book.values()) {
      const row = stored.get(entry.id)
      stored.delete(entry.id)
      if (entry.fate === 'removed' || row === undefined) {
        if ((entry.fate === 'removed') !== (row === undefined)) this.#note(entry, `stored: ${JSON.stringify(row)}`)
        continue
      }
      this.#compare(entry, row)
      const status = entry.fate === 'waits' ? 'pending' : entry.fate
      if (row.status !== status) this.#note(entry, `is ${row.status}`)
      if (entry.rev !== undefined && row.rev !== entry.rev) this.#note(entry, `is at revision ${row.rev}`)
    }
    for (const id of stored.keys()) this.wrong.push(`${id} is there and was never asked for`)
    await this.#readEvents()
  }

  get size(): { tasks: number; events: number } {
    return { tasks: this.#book.size, events: this.#events.size }
  }

  async #readEvents(): Promise<void> {
    const missing = new Set(this.#events)
    for (let after = '0'.repeat(24); ; ) {
      const { body } = await this.#call(200, 'GET', `/events?name=${EVENT}&after=${after}&limit=1000`)
      const events = body.events as EventRow[]
      for (const { _id, status, results } of events) {
        if (!missing.delete(_id)) this.wrong.push(`event ${_id} was never asked for`)
        if (status !== 'finished' || results?.length !== 1) this.wrong.push(`event ${_id} is ${status}`)
      }
      if (events.length === 0) break
      after = events.at(-1)!._id
    }
    for (const id of missing) this.wrong.push(`event ${id} is lost`)
  }

  // ── actions: each is one request; false if there is no task for it ──

  async #post(kind: Kind, since: number): Promise<boolean> {
    this.#n += 1
    const priority = 1 + this.#below(10)
    const parked = kind === 'parked'
    const entry: Entry = {
      id: parseNewTask({ name: 'steady' })._id.toHexString(),
      kind,
      queue: parked ? 'parked' : 'quick',
      input: { n: this.#n, ms: kind === 'long' ? LONG_MS : QUICK_MS, journal: this.#options.journal },
      priority,
      ...(parked ? { runAt: this.#later() } : {}),
      fate: null,
      rev: undefined,
      ended: false,
      busy: true,
    }
    this.#book.set(entry.id, entry)
    const { body } = await this.#call(201, 'POST', '/tasks', bodyOf(entry), since)
    entry.fate = kind === 'quick' ? 'completed' : 'waits'
    // A worker may have taken it up before it was read for the answer.
    if (parked) this.#accept(entry, body, 1)
    else this.#compare(entry, body as unknown as TaskRow)
    entry.busy = false
    return true
  }

  async #postAgain(since: number): Promise<boolean> {
    return this.#with(
      ({ kind, fate }) => kind === 'quick' && fate === 'completed',
      async (entry) => {
        const { body } = await this.#call(200, 'POST', '/tasks', bodyOf(entry), since)
        this.#compare(entry, body as unknown as TaskRow)
      },
    )
  }

  async #postEvent(since: number): Promise<boolean> {
    const props = { ms: QUICK_MS, journal: this.#options.journal }
    const { body } = await this.#call(201, 'POST', '/events', { name: EVENT, props }, since)
    this.#events.add(String(body._id))
    return true
  }

  async #getOne(since: number): Promise<boolean> {
    return this.#with(
      ({ fate }) => fate !== null,
      async (entry) => {
        if (entry.fate === 'removed') {
          await this.#call(404, 'GET', `/tasks/${entry.id}`, undefined, since)
          return
        }
        const { body, headers } = await this.#call(200, 'GET', `/tasks/${entry.id}`, undefined, since)
        this.#saw(entry, body as unknown as TaskRow)
        if (entry.rev !== undefined && headers.get('etag') !== `"${entry.rev}"`)
          this.#note(entry, `has the tag ${headers.get('etag')}`)
      },
    )
  }

  async #getPage(since: number): Promise<boolean> {
    const queue = this.#options.random() < 0.5 ? 'quick' : 'parked'
    const reading = this.#readings.shift() ?? {
      queue,
      seen: new Set(),
      due: this.#entries((entry) => entry.queue === queue && entry.fate !== null),
    }
    const query = new URLSearchParams({ queue: reading.queue, sort: '_id', limit: String(PAGE) })
    if (reading.cursor !== undefined) query.set('cursor', reading.cursor)
    const { body } = await this.#call(200, 'GET', `/tasks?${query}`, undefined, since)
    for (const row of body.tasks as TaskRow[]) {
      if (reading.seen.has(row._id)) this.wrong.push(`${row._id} was listed twice`)
      reading.seen.add(row._id)
      const entry = this.#book.get(row._id)
      if (entry === undefined) this.wrong.push(`${row._id} is listed and was never asked for`)
      else if (endedForGood(entry, row)) entry.ended = true
    }
    reading.cursor = body.cursor as string
    if (body.cursor !== undefined) this.#readings.push(reading)
    else this.#readToTheEnd(reading)
    return true
  }

  /** Each task that stayed was in one of the pages. */
  #readToTheEnd({ seen, due }: Reading): void {
    this.readings += 1
    for (const entry of due) {
      const stays = entry.fate !== 'removed' && !entry.busy
      if (stays && !seen.has(entry.id)) this.#note(entry, 'was in no page')
    }
  }

  async #patch(since: number): Promise<boolean> {
    return this.#with(isParked, async (entry) => {
      const stale = entry.rev! > 1 && this.#below(8) === 0
      const changes = [
        { priority: 1 + this.#below(10) },
        { input: { ...entry.input, n: entry.input.n + 1_000_000 } },
        { runAt: this.#later() },
      ][this.#below(3)]!
      const asked = { 'if-match': `"${entry.rev! - (stale ? 1 : 0)}"` }
      const path = `/tasks/${entry.id}`
      const { body } = await this.#call(stale ? 409 : 200, 'PATCH', path, changes, since, asked)
      if (stale && (body.code !== 'REV_CONFLICT' || body.rev !== entry.rev))
        this.#note(entry, `a stale change was answered ${JSON.stringify(body)}`)
      if (stale) return
      Object.assign(entry, changes)
      this.#accept(entry, body, entry.rev! + 1)
    })
  }

  async #reprioritise(since: number): Promise<boolean> {
    return this.#with(isParked, async (entry) => {
      const priority = 1 + this.#below(10)
      const { body } = await this.#call(200, 'POST', `/tasks/${entry.id}/reprioritise`, { priority }, since)
      entry.priority = priority
      this.#accept(entry, body, entry.rev! + 1)
    })
  }

  async #cancel(since: number): Promise<boolean> {
    return this.#with(
      ({ kind, fate }) => kind !== 'quick' && fate === 'waits',
      async (entry) => {
        const { body } = await this.#call(200, 'POST', `/tasks/${entry.id}/cancel`, { reason: 'load' }, since)
        entry.fate = 'cancelled'
        if (entry.kind === 'long') return
        entry.ended = true
        this.#accept(entry, body, entry.rev! + 1)
      },
    )
  }

  async #retry(since: number): Promise<boolean> {
    return this.#with(
      ({ kind, fate, ended }) => kind === 'parked' && fate === 'cancelled' && ended,
      async (entry) => {
        await this.#call(200, 'POST', `/tasks/${entry.id}/retry`, {}, since)
        entry.fate = 'completed'
        // It runs now, and not at its date.
        entry.rev = undefined
        delete entry.runAt
        entry.ended = false
      },
    )
  }

  async #delete(since: number): Promise<boolean> {
    return this.#with(
      ({ ended, fate }) => ended && fate !== 'removed',
      async (entry) => {
        await this.#call(204, 'DELETE', `/tasks/${entry.id}`, undefined, since)
        entry.fate = 'removed'
      },
    )
  }

  // ── the record ──

  #entries(wanted: (entry: Entry) => boolean): Entry[] {
    return [...this.#book.values()].filter(wanted)
  }

  /** Acts on a task that no other request changes; false if there is none. */
  async #with(wanted: (entry: Entry) => boolean, act: (entry: Entry) => Promise<void>): Promise<boolean> {
    const entries = this.#entries((entry) => !entry.busy && wanted(entry))
    const entry = entries[this.#below(entries.length)]
    if (entry === undefined) return false
    entry.busy = true
    try {
      await act(entry)
    } finally {
      entry.busy = false
    }
    return true
  }

  /** The answer to a change. */
  #accept(entry: Entry, body: Answer['body'], rev: number): void {
    entry.rev = rev
    if (body.rev !== rev) this.#note(entry, `was answered with revision ${body.rev} and not ${rev}`)
    this.#compare(entry, body as unknown as TaskRow)
  }

  #saw(entry: Entry, row: TaskRow): void {
    this.#compare(entry, row)
    if (endedForGood(entry, row)) entry.ended = true
  }

  #compare(entry: Entry, { _id, queue, input, basePriority, runAt }: TaskRow): void {
    const { id, priority } = entry
    const asked = {
      _id: id,
      queue: entry.queue,
      input: entry.input,
      basePriority: priority,
      runAt: entry.runAt ?? runAt,
    }
    const read = { _id, queue, input, basePriority, runAt }
    if (!isDeepStrictEqual(asked, read)) this.#note(entry, `reads ${JSON.stringify(read)}`)
  }

  #note({ input: _, ...entry }: Entry, what: string): void {
    this.wrong.push(`${JSON.stringify(entry)} ${what}`)
  }

  #below(most: number): number {
    return Math.floor(this.#options.random() * most)
  }

  #later(): string {
    return new Date(Date.now() + AHEAD_MS + this.#below(AHEAD_MS)).toISOString()
  }

  /** @throws Error where the answer has another status */
  async #call(
    expected: number,
    method: string,
    path: string,
    body?: object,
    since?: number,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const { url, token } = this.#options
    const answer = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    if (since !== undefined) this.took.push(performance.now() - since)
    if (answer.status !== expected)
      throw new Error(`${method} ${path} was answered ${answer.status} ${text.slice(0, 500)}`)
    return { status: answer.status, headers: answer.headers, body: text === '' ? {} : JSON.parse(text) }
  }
}

const isParked = ({ kind, fate }: Entry): boolean => kind === 'parked' && fate === 'waits'

/** Only a task cancelled before it ran may be retried, so any other end is final. */
const endedForGood = ({ kind }: Entry, { status }: TaskRow): boolean =>
  status === 'completed' || (kind !== 'parked' && hasEnded(status))

const bodyOf = ({ id, queue, input, priority, runAt }: Entry): object => ({
  _id: id,
  name: 'steady',
  queue,
  input,
  priority,
  ...(runAt === undefined ? {} : { runAt }),
})
