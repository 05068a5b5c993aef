import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import {
  BatchRefused,
  type EnqueueRequest,
  FleetError,
  type FleetOperations,
  hasEnded,
  namingOf,
  type QueryRequest,
  STATUSES,
  type TaskRow,
  type TaskStatus,
} from '@taskfleet/protocol'
import type { ListedDownload } from './address-list.ts'
import { DOWNLOAD_ATTEMPTS, type DownloadInput, downloadContract } from './contract.ts'
import { utf8Length } from './text-bytes.ts'

/** The label by which a task of an address and destination is found, also after its end. */
const LABEL = 'download'
/** How many tasks are stored by one request, all or none. A gateway's socket takes messages up to 1 MiB. */
const TASKS_AT_A_TIME = 500
const BYTES_AT_A_TIME = 512 * 1024
/** How often a portion is sent again because somebody else stores the same at this moment. */
const MOST_RACES = 3
/** How many addresses are looked up by one query, and how many tasks it may find: an address has one for each `--again`. */
const LOOKED_UP = 50
const FOUND = 1_000

/** A download that has a task. */
export interface StoredDownload {
  /** Undefined if somebody else has just stored it, and this key may not read tasks. */
  id?: string
  title: string
  status?: TaskStatus
  /** Whether this call has stored it. */
  fresh: boolean
  /** No live worker has a handler for it in its queue yet. */
  served?: false
}

/** How the tasks of a list are stored. */
export interface DownloadWish {
  queue: string
  /** 1 to 10, higher first. */
  priority: number
  /** Whether to store what is there already. */
  again: boolean
}

/** What a fleet has. */
export interface TaskReader {
  /** The tasks that match. @throws {FleetError} `FORBIDDEN` for a key that may only store tasks */
  rows(query: QueryRequest & { collection: 'tasks' }): Promise<TaskRow[]>
}

interface Wanted extends ListedDownload {
  /** The same for the same address, destination and queue. */
  digest: string
  title: string
  request: EnqueueRequest
}

/**
 * Stores a task for each download, unless its queue has one with the same address and destination that is open or has completed.
 * The order is that of the list; what it has twice is stored once.
 *
 * @throws {FleetError} with the place in the list; `UNKNOWN_OUTCOME` and other errors of the fleet. The same call again stores the rest.
 */
export async function enqueueDownloads(
  { tasks }: { tasks: Pick<FleetOperations['tasks'], 'enqueueMany'> },
  view: TaskReader,
  downloads: readonly ListedDownload[],
  wish: DownloadWish,
): Promise<StoredDownload[]> {
  const wanted = [...new Map(downloads.map((one) => asked(one, wish)).map((one) => [one.digest, one])).values()]
  const done = wish.again ? new Map<string, StoredDownload>() : await thereAlready(view, wanted, wish.queue)
  const missing = wanted.filter(({ digest }) => !done.has(digest))
  for (const portion of portions(missing)) {
    const left = [...portion]
    for (let tries = 1; left.length > 0; tries += 1) {
      try {
        const stored = await tasks.enqueueMany({ tasks: left.map(({ request }) => request) })
        for (const [index, { _id, status, served }] of stored.entries()) {
          const { digest, title } = left[index]!
          done.set(digest, { id: _id, title, status, fresh: true, ...(served === false ? { served } : {}) })
        }
        break
      } catch (error) {
        // Somebody else was faster with some of them. Without its entries, the next look finds them.
        if (error instanceof FleetError && error.code === 'KEY_EXISTS' && tries <= MOST_RACES) {
          if (!(error instanceof BatchRefused)) continue
        }
        const taken = takenIn(error, left)
        for (const { digest, title } of taken) done.set(digest, { title, fresh: false })
        left.splice(0, left.length, ...left.filter((one) => !taken.includes(one)))
      }
    }
  }
  return wanted.map(({ digest }) => done.get(digest)!)
}

function asked({ input, where }: ListedDownload, { queue, priority, again }: DownloadWish): Wanted {
  const { name, version } = downloadContract
  const digest = digestOf(input, queue)
  const naming = namingOf(downloadContract, input, { labels: { [LABEL]: digest } })
  const key = again ? {} : { key: `${name}-${digest}` }
  const request = { name, version, input, ...naming, queue, priority, maxAttempts: DOWNLOAD_ATTEMPTS, ...key }
  return { input, where, digest, title: naming.title ?? name, request }
}

function digestOf({ url, folder = '', file = '' }: DownloadInput, queue: string): string {
  const parts = [queue, new URL(url).href, folder.replace(/\/$/, ''), file]
  // Not `node:crypto`, and not `crypto.subtle`, which browsers have only on pages by https.
  return bytesToHex(sha256(utf8ToBytes(JSON.stringify(parts)))).slice(0, 24)
}

/** The tasks that make a new one unnecessary, by their digests. */
async function thereAlready(
  view: TaskReader,
  wanted: readonly Wanted[],
  queue: string,
): Promise<Map<string, StoredDownload>> {
  const there = new Map<string, StoredDownload>()
  const statuses = STATUSES.filter((status) => !hasEnded(status) || status === 'completed')
  for (let at = 0; at < wanted.length; at += LOOKED_UP) {
    const portion = new Map(wanted.slice(at, at + LOOKED_UP).map((one) => [one.digest, one]))
    const filter = {
      [`labels.${LABEL}`]: { $in: [...portion.keys()] },
      ...{ name: downloadContract.name, queue, status: { $in: statuses } },
    }
    const fields = ['status', 'labels']
    const rows = await view
      .rows({ collection: 'tasks', filter, fields, limit: FOUND })
      .catch((error: unknown): TaskRow[] => {
        // A key that may only store tasks: its open tasks have keys.
        if (error instanceof FleetError && error.code === 'FORBIDDEN') return []
        throw error
      })
    for (const { _id, status, labels } of rows) {
      const one = portion.get(labels?.[LABEL] ?? '')
      if (one === undefined || (there.has(one.digest) && hasEnded(status))) continue
      there.set(one.digest, { id: _id, title: one.title, status, fresh: false })
    }
  }
  return there
}

function* portions(wanted: readonly Wanted[]): Generator<Wanted[]> {
  let portion: Wanted[] = []
  let bytes = 0
  for (const one of wanted) {
    const more = utf8Length(JSON.stringify(one.request))
    if (portion.length > 0 && (portion.length === TASKS_AT_A_TIME || bytes + more > BYTES_AT_A_TIME)) {
      yield portion
      ;[portion, bytes] = [[], 0]
    }
    portion.push(one)
    bytes += more
  }
  if (portion.length > 0) yield portion
}

/** The entries whose key has an open task. @throws the error, if it has another reason, with the entry's place */
function takenIn(error: unknown, left: readonly Wanted[]): Wanted[] {
  if (!(error instanceof BatchRefused)) throw error
  const other = error.entries.find(({ code }) => code !== 'KEY_EXISTS')
  if (other !== undefined) {
    const { where } = left[other.index]!
    throw new FleetError(other.code, `${where}: ${other.title}`, { field: where, cause: error })
  }
  return error.entries.map(({ index }) => left[index]!)
}
