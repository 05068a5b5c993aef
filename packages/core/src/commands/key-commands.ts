import { FleetError, type KeyEdit, type KeyRequest, type KeyRow, SCOPES, type Scope } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { type KeyChanges, KeyStore, type KnownKey } from '../auth/key-store.ts'
import { toWire } from '../live/wire.ts'
import { parseDate, parseQueue, parseTaskName } from '../task/parse-value.ts'
import { Commands } from './commands.ts'

const NAME_LIMIT = 100
const LIST_LIMIT = 100

/** Keys. They are not for limited keys, which could otherwise make a key without limits. */
export class KeyCommands extends Commands<'database' | 'gate'> {
  /** @throws {FleetError} `FORBIDDEN` */
  async list(): Promise<KeyRow[]> {
    this.requireUnlimited('manage keys')
    return (await this.#keys().list()).map((key) => this.#row(key))
  }

  /** @throws {FleetError} `NOT_FOUND`, `FORBIDDEN` */
  async show({ id }: { id: string }): Promise<KeyRow> {
    this.requireUnlimited('manage keys')
    const key = await this.#keys().find(id)
    if (key === null) throw notFound()
    return this.#row(key)
  }

  /**
   * @returns the token, which can't be read again
   * @throws {FleetError} `BAD_VALUE`, `BAD_SCOPE`, `BAD_QUEUE`, `BAD_NAME`, `BAD_DATE`, `FORBIDDEN`
   */
  async create(request: KeyRequest): Promise<{ id: string; token: string }> {
    this.requireUnlimited('manage keys')
    const { name = '', scopes = [], queues, names, expiresAt } = parseKey(request)
    const made = await this.#keys().create({
      name,
      scopes,
      ...(queues == null ? {} : { queues }),
      ...(names == null ? {} : { names }),
      ...(expiresAt == null ? {} : { expiresAt }),
    })
    await this.record('key create', { target: made.id, changed: 1 })
    return made
  }

  /**
   * Takes effect at once, on open connections within a second.
   *
   * @throws {FleetError} as `create`; `BAD_REQUEST` when there is nothing to change; `NOT_FOUND`, `ALREADY_REVOKED`
   */
  async edit({ id, changes: asked }: { id: string; changes: KeyEdit }): Promise<KeyRow> {
    this.requireUnlimited('manage keys')
    const changes = parseKey(asked)
    if (Object.keys(changes).length === 0) {
      throw new FleetError(
        'BAD_REQUEST',
        "There is nothing to change. Give 'name', 'scopes', 'queues', 'names' or 'expiresAt'",
      )
    }
    const changed = await this.#keys().edit(id, changes)
    if (changed === null) {
      if ((await this.#keys().find(id)) === null) throw notFound()
      throw new FleetError('ALREADY_REVOKED', 'This key is revoked and can no longer be changed', { field: 'id' })
    }
    await this.record('key edit', { target: id, changed: 1, reason: Object.keys(changes).join(', ') })
    return this.#row(changed)
  }

  /** Connections of the key are closed within a second. @throws {FleetError} `NOT_FOUND`, `FORBIDDEN` */
  async revoke({ id }: { id: string }): Promise<void> {
    this.requireUnlimited('manage keys')
    if (!(await this.#keys().revoke(id))) throw notFound()
    await this.record('key revoke', { target: id, changed: 1 })
  }

  #keys(): KeyStore {
    const { database, gate } = this.parts
    return new KeyStore(database.db, () => database.clock.now(), gate)
  }

  #row(key: KnownKey): KeyRow {
    const { _id, ...rest } = key
    return { id: _id, ...(toWire(rest) as Omit<KeyRow, 'id' | 'state'>), state: this.#keys().stateOf(key) }
  }
}

const notFound = (): FleetError => new FleetError('NOT_FOUND', 'There is no such key', { field: 'id' })

/** @throws {FleetError} `BAD_VALUE`, `BAD_SCOPE`, `BAD_QUEUE`, `BAD_NAME`, `BAD_DATE` */
function parseKey({ name, scopes, queues, names, expiresAt }: KeyEdit): KeyChanges {
  return given({
    name: name === undefined ? undefined : parseKeyName(name),
    scopes: scopes === undefined ? undefined : parseScopes(scopes),
    queues: queues == null ? queues : parseList(queues, 'queues', parseQueue),
    names: names == null ? names : parseList(names, 'names', parseTaskName),
    expiresAt: expiresAt == null ? expiresAt : parseDate(expiresAt, 'expiresAt'),
  })
}

function parseKeyName(name: string): string {
  if (name.length > 0 && name.length <= NAME_LIMIT) return name
  throw new FleetError('BAD_VALUE', `'name' must be a string of 1 to ${NAME_LIMIT} characters`, { field: 'name' })
}

function parseScopes(scopes: readonly string[]): Scope[] {
  if (scopes.length === 0)
    throw new FleetError('BAD_SCOPE', `A key needs at least one scope: ${SCOPES.join(', ')}`, { field: 'scopes' })
  const known = scopes.map((scope) => {
    const found = SCOPES.find((one) => one === scope)
    if (found !== undefined) return found
    throw new FleetError('BAD_SCOPE', `'${scope}' is not a scope; allowed are ${SCOPES.join(', ')}`, {
      field: 'scopes',
    })
  })
  return [...new Set(known)]
}

/** An empty list is rejected: such a key could do nothing, which is surely a mistake. */
function parseList(list: readonly string[], field: string, parse: (value: unknown) => string): string[] {
  if (list.length === 0 || list.length > LIST_LIMIT) {
    throw new FleetError('BAD_VALUE', `'${field}' names 1 to ${LIST_LIMIT}`, { field })
  }
  return [...new Set(list.map(parse))]
}
