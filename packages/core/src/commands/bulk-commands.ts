import { type BulkRequest, type BulkRow, FleetError, type TaskSelection } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { KeyStore, type Principal } from '../auth/key-store.ts'
import { isUnlimited } from '../auth/reach.ts'
import { type BulkDocument, type BulkTask, type NewBulk, UNDO } from '../bulk/bulk-store.ts'
import { driver } from '../database/driver.ts'
import { toWire } from '../live/wire.ts'
import { type Changes, parseChanges } from '../task/new-task.ts'
import { parseId } from '../task/parse-value.ts'
import type { ObjectId } from '../task/task-document.ts'
import { Commands } from './commands.ts'
import { selectIds } from './selection.ts'
import { taskChange } from './task-change.ts'

/** The most operations of one key that have not ended. */
const MOST_OPEN = 20
const FILTER_LENGTH = 2_000
/** How many operations are looked through for a limited key. */
const MOST_READ = 1_000

/** Commands on many tasks that a gateway carries out. A key sees the operations whose reach is within its own. */
export class BulkCommands extends Commands<'bulk' | 'tasks' | 'store' | 'handlers' | 'database' | 'gate'> {
  /**
   * Fixes the list of tasks and stores the operation. A gateway carries it out.
   *
   * @throws {FleetError} as `selectTasks`; `TOO_MANY` above 100,000 tasks, and if too many operations of this key have not ended
   */
  async start({ command, ids, filter, priority, position, reason }: BulkRequest): Promise<BulkRow> {
    const changes = command === 'reprioritise' ? parseChanges(given({ priority, position })) : {}
    const { filtered } = taskChange(this.parts, command, { by: this.by, priority, position })
    await this.#requireRoom()
    const selection = given({ ids, filter }) as unknown as TaskSelection
    const selected = await selectIds(this.parts.tasks, this.principal, selection, filtered)
    const tasks = selected.map((_id) => ({ _id }))
    const wired = filter === undefined ? undefined : toWire(filter)
    const text = wired === undefined ? undefined : JSON.stringify(wired).slice(0, FILTER_LENGTH)
    return this.#store({ command, ...given({ reason, filter: text, ...pick(changes) }) }, tasks, { filter: wired })
  }

  /** @throws {FleetError} `NOT_FOUND`, `BAD_ID` */
  async show({ id }: { id: string }): Promise<BulkRow> {
    return toBulkRow(await this.#find(id))
  }

  /** The newest first. */
  async list({ limit = 100 }: { limit?: number } = {}): Promise<BulkRow[]> {
    if (isUnlimited(this.principal)) return (await this.parts.bulk.list(limit)).map(toBulkRow)
    const found = await this.parts.bulk.list(MOST_READ)
    return found
      .filter((bulk) => covers(this.principal, bulk))
      .slice(0, limit)
      .map(toBulkRow)
  }

  /** The part that is under way is completed. @throws {FleetError} `NOT_FOUND`, `BAD_ID`; `ALREADY_ENDED` */
  async stop({ id }: { id: string }): Promise<BulkRow> {
    const { _id } = await this.#find(id)
    const stopped = await this.parts.bulk.stop(_id, this.by)
    if (stopped !== null) {
      await this.record('bulk stop', { target: _id.toHexString(), matched: stopped.matched, changed: stopped.changed })
      return toBulkRow(stopped)
    }
    const now = await this.#find(id)
    if (now.endedAt === undefined) return toBulkRow(now)
    throw new FleetError('ALREADY_ENDED', `The operation has ended: it is ${now.state}`, { field: 'id' })
  }

  /**
   * Starts the opposite operation on the tasks that were changed: paused ones are resumed, resumed ones are paused, and each gets its
   * earlier priority. Tasks that have changed since in another way are refused.
   *
   * @throws {FleetError} `NOT_FOUND`, `BAD_ID`; `NOT_ENDED`; `NO_UNDO` if there is none, or no longer
   */
  async undo({ id, reason }: { id: string; reason?: string }): Promise<BulkRow> {
    const bulk = await this.#find(id)
    const command = UNDO[bulk.command]
    if (bulk.endedAt === undefined) throw new FleetError('NOT_ENDED', 'The operation is still running. Stop it first')
    const isOver = bulk.undoUntil === undefined || bulk.undoUntil <= this.parts.database.clock.now()
    if (command === undefined || isOver || bulk.undoneBy !== undefined) {
      const why = bulk.undoneBy !== undefined ? 'was undone already' : 'can’t be undone, or no longer'
      throw new FleetError('NO_UNDO', `The operation ${why}`, { field: 'id' })
    }
    await this.#requireRoom()
    const tasks = await this.parts.bulk.changedBy(bulk)
    const _id = new driver.ObjectId()
    if (!(await this.parts.bulk.markUndone(bulk._id, _id))) {
      throw new FleetError('NO_UNDO', 'The operation was undone already', { field: 'id' })
    }
    try {
      return await this.#store({ command, undoes: bulk._id, ...given({ reason }) }, tasks, { _id })
    } catch (error) {
      await this.parts.bulk.unmarkUndone(bulk._id, _id)
      throw error
    }
  }

  /** @param filter for the audit log, where it may be longer than in the operation */
  async #store(
    asked: Asked,
    tasks: readonly BulkTask[],
    { _id = new driver.ObjectId(), filter }: { _id?: ObjectId; filter?: unknown },
  ): Promise<BulkRow> {
    const { id: by, queues, names } = this.principal
    const keys = new KeyStore(this.parts.database.db, () => this.parts.database.clock.now(), this.parts.gate)
    const keyed = (await keys.find(by)) !== null
    const own = given({ queues: queues && [...queues], names: names && [...names] })
    const bulk = await this.parts.bulk.start({ _id, by, keyed, ...own, ...asked }, tasks)
    const { command, reason } = asked
    const target = _id.toHexString()
    const deed = { target, matched: bulk.matched, changed: 0, reason }
    await this.record(`bulk ${command}`, { ...deed, ...given({ filter }) })
    return toBulkRow(bulk)
  }

  /** @throws {FleetError} `TOO_MANY` */
  async #requireRoom(): Promise<void> {
    if ((await this.parts.bulk.openOf(this.by, MOST_OPEN)) < MOST_OPEN) return
    throw new FleetError('TOO_MANY', `${MOST_OPEN} operations of this key have not ended. Wait for one, or stop it`)
  }

  /** @throws {FleetError} `NOT_FOUND`, `BAD_ID` */
  async #find(id: string): Promise<BulkDocument> {
    const bulk = await this.parts.bulk.find(parseId(id))
    if (bulk !== null && covers(this.principal, bulk)) return bulk
    throw new FleetError('NOT_FOUND', `There is no operation ${id}`, { field: 'id' })
  }
}

type Asked = Omit<NewBulk, '_id' | 'by' | 'keyed' | 'queues' | 'names'>

const pick = ({ priority, position }: Pick<Changes, 'priority' | 'position'>) => ({ priority, position })

/** Whether all that an operation may reach is within a key's reach. */
function covers(principal: Principal, { queues, names }: Pick<BulkDocument, 'queues' | 'names'>): boolean {
  const within = (some: readonly string[] | undefined, all: readonly string[] | undefined): boolean =>
    all === undefined || some?.every((one) => all.includes(one)) === true
  return within(queues, principal.queues) && within(names, principal.names)
}

function toBulkRow(bulk: BulkDocument): BulkRow {
  const { keyed: _, parts: _1, next: _2, doing: _3, sample: _4, holder: _5, heldUntil: _6, expireAt: _7, ...row } = bulk
  return toWire(row) as BulkRow
}
