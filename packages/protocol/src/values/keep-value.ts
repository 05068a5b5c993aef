import { FleetError, UnrecoverableError } from '../fleet-error.ts'
import { PLACES, VALUE_DEPTH, type ValuePlace } from './places.ts'
import { cutText, isWellFormed, utf8Length } from './text.ts'

/** Keys with a special meaning in JavaScript or in the database's driver. */
const UNSAFE_KEYS = new Set(['__proto__', '_bsontype'])
const LONGEST_PATH = 500
/** The bytes that BSON adds to a container, and to each entry beside its key. */
const CONTAINER_BYTES = 5
const ENTRY_BYTES = 2
/** The document that holds the value: `{ value: … }`. */
const FRAME_BYTES = CONTAINER_BYTES + ENTRY_BYTES + 5

/**
 * Checks all values of tasks: input, output, checkpoint, progress, emitted events and answers. Returns a copy that the database
 * and JSON can hold unchanged. So exactly the checked value is stored, even if the original changes later.
 *
 * Kept: texts, numbers (finite ones only, where they travel as JSON), booleans, null, dates, plain objects and lists, and BSON's own types that come back as they
 * are (ObjectId, Binary, UUID, Decimal128, Timestamp, MinKey, MaxKey, and Long beyond 2^53). A field that is `undefined` is
 * left out. In an output, a BigInt of 64 bits is kept as a whole number, and a Buffer as a Binary.
 *
 * @param value made by foreign code, so reading it may throw
 * @param to the place that the value goes to
 * @param name the start of its path, if that differs from the place's name
 * @throws {FleetError} the place's own codes, such as `BAD_INPUT` and `INPUT_TOO_LARGE`; `field` is the path. For a handler's
 *   value, it is an `UnrecoverableError`
 */
export function keepValue(value: unknown, to: keyof typeof PLACES, name: string = PLACES[to].name): unknown {
  return new Keeper(PLACES[to], name).keep(value)
}

class Keeper {
  readonly #place: ValuePlace
  readonly #path: (string | number)[]
  /** The containers around the current one. */
  readonly #around = new Set<object>()
  #left: number

  constructor(place: ValuePlace, name: string) {
    this.#place = place
    this.#path = [name]
    this.#left = place.limit - FRAME_BYTES
  }

  keep(value: unknown): unknown {
    switch (typeof value) {
      case 'string':
        return this.#text(value)
      case 'number':
        return this.#number(value)
      case 'boolean':
        this.#spend(1)
        return value
      case 'object':
        return value === null ? null : this.#object(value)
      case 'undefined':
        throw this.#refusal('a list must not contain undefined: use null')
      case 'bigint':
        return this.#bigint(value)
      default:
        throw this.#refusal(`a ${typeof value} is not data`)
    }
  }

  #text(text: string): string {
    // A text has at least as many bytes as UTF-16 units. Counting the bytes of a very long text takes time.
    if (text.length > this.#left) throw this.#tooLarge()
    if (!isWellFormed(text)) throw this.#refusal("a text contains half a surrogate pair, which UTF-8 can't encode")
    this.#spend(CONTAINER_BYTES + utf8Length(text))
    return text
  }

  #number(number: number): number {
    if (this.#place.json === true && !Number.isFinite(number))
      throw this.#refusal(`JSON has no number ${number}: use null`)
    const isInt32 = (number | 0) === number && !Object.is(number, -0)
    this.#spend(isInt32 ? 4 : 8)
    return number
  }

  #bigint(wide: bigint): number | bigint {
    if (this.#place.result !== true)
      throw this.#refusal('a BigInt would come back as another number: write it as a text')
    if (BigInt.asIntN(64, wide) !== wide) throw this.#refusal('BSON has no BigInt beyond 64 bits: write it as a text')
    this.#spend(8)
    return BigInt(Number(wide)) === wide && Number.isSafeInteger(Number(wide)) ? Number(wide) : wide
  }

  #object(object: object): unknown {
    if (this.#around.has(object)) throw this.#refusal('it refers to itself')
    if (this.#around.size >= VALUE_DEPTH) throw this.#refusal(`nested deeper than ${VALUE_DEPTH}`)
    const kind = this.#read(() => kindOf(object))
    switch (kind) {
      case 'list':
        return this.#within(object, () => this.#list(object as unknown[]))
      case 'plain':
        return this.#within(object, () => this.#plain(object as Record<string, unknown>))
      case 'date':
        return this.#date(object as Date)
      case 'bson':
        this.#spend(this.#read(() => bsonBytes(object as { _bsontype: unknown })))
        return object
      default:
        if (this.#place.result === true && isBytes(object)) return this.#bytes(object)
        throw this.#refusal(remedyFor(kind.instanceOf))
    }
  }

  #bytes(bytes: Uint8Array): Uint8Array {
    this.#spend(CONTAINER_BYTES + bytes.byteLength)
    return Uint8Array.from(bytes)
  }

  #date(date: Date): Date {
    const time = date.getTime()
    if (Number.isNaN(time)) throw this.#refusal('the Date is invalid')
    this.#spend(8)
    return new Date(time)
  }

  #list(list: readonly unknown[]): unknown[] {
    if (this.#read(() => list.length) > this.#left) throw this.#tooLarge()
    const items = this.#read(() => itemsOf(list))
    return items.map((item, index) => this.#entry(index, item))
  }

  #plain(object: Record<string, unknown>): Record<string, unknown> {
    const kept: Record<string, unknown> = {}
    for (const [key, value] of this.#read(() => entriesOf(object))) {
      if (value === undefined) continue
      this.#checkKey(key)
      kept[key] = this.#entry(key, value)
    }
    return kept
  }

  #entry(key: string | number, value: unknown): unknown {
    this.#spend(ENTRY_BYTES + (typeof key === 'number' ? String(key).length : utf8Length(key)))
    this.#path.push(key)
    const kept = this.keep(value)
    this.#path.pop()
    return kept
  }

  #checkKey(key: string): void {
    if (key !== '' && !/^\$|[.\0]/.test(key) && !UNSAFE_KEYS.has(key) && isWellFormed(key)) return
    this.#path.push(key)
    throw this.#refusal(
      `'${cutText(key, 80)}' can't be a key: a key may not be empty, start with $, or hold a dot, NUL or half a surrogate pair`,
    )
  }

  #within<T>(container: object, act: () => T): T {
    this.#spend(CONTAINER_BYTES)
    this.#around.add(container)
    const kept = act()
    this.#around.delete(container)
    return kept
  }

  /** Catches errors of getters and proxies, which are foreign code. */
  #read<T>(act: () => T): T {
    try {
      return act()
    } catch (error) {
      throw this.#refusal(error instanceof NotKept ? error.message : "it can't be read: one of its parts throws")
    }
  }

  #spend(bytes: number): void {
    this.#left -= bytes
    if (this.#left < 0) throw this.#tooLarge()
  }

  #refusal(why: string): FleetError {
    const field = cutText(this.#path.join('.'), LONGEST_PATH)
    return this.#error(this.#place.refused, `'${field}' can't be stored: ${why}`, field)
  }

  #tooLarge(): FleetError {
    const { limit, tooLarge } = this.#place
    const field = String(this.#path[0])
    return this.#error(tooLarge, `'${field}' takes more than the allowed ${limit} bytes`, field)
  }

  #error(code: string, message: string, field: string): FleetError {
    return this.#place.final
      ? new UnrecoverableError(code, message, { field })
      : new FleetError(code, message, { field })
  }
}

/** An own error, whose message may be shown. */
class NotKept extends Error {}

type Kind = 'list' | 'plain' | 'date' | 'bson' | { instanceOf: string }

function kindOf(object: object): Kind {
  if (Array.isArray(object)) return 'list'
  const prototype: unknown = Object.getPrototypeOf(object)
  if (prototype === null || prototype === Object.prototype || isForeignRoot(prototype as object)) return 'plain'
  if (isDate(object)) return 'date'
  // An object with its own field of that name is not a BSON type.
  if ('_bsontype' in object && !Object.hasOwn(object, '_bsontype')) return 'bson'
  const made = object.constructor
  const name = typeof made === 'function' ? made.name : ''
  return { instanceOf: typeof name === 'string' && name !== '' ? cutText(name, 80) : 'a class' }
}

const isBytes = (object: object): object is Uint8Array =>
  ArrayBuffer.isView(object) && Object.prototype.toString.call(object) === '[object Uint8Array]'

/** `Object.prototype` of another realm, such as a `vm` context. */
const isForeignRoot = (prototype: object): boolean =>
  Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf')

/** Whether it is a plain Date. An instance of a subclass would come back as a Date. */
function isDate(object: object): object is Date {
  const root: unknown = Object.getPrototypeOf(Object.getPrototypeOf(object))
  if (root !== Object.prototype && (root === null || !isForeignRoot(root as object))) return false
  return Object.prototype.toString.call(object) === '[object Date]' && typeof (object as Date).getTime === 'function'
}

function remedyFor(name: string): string {
  if (name === 'Promise') return 'a Promise is not a value: await it'
  if (/Array$|^(Shared)?ArrayBuffer$|^Buffer$|^DataView$|^Blob$/.test(name)) {
    return `a ${name} would come back as something else: use a Binary of BSON or a text in base64`
  }
  return `an instance of ${name} would come back as something else: use a plain object, a list or a text`
}

function itemsOf(list: readonly unknown[]): unknown[] {
  if (Object.keys(list).length !== list.length) throw new NotKept('a list with holes or names would lose them')
  checkSymbols(list)
  return Array.from(list)
}

function entriesOf(object: Record<string, unknown>): [string, unknown][] {
  checkSymbols(object)
  return Object.keys(object).map((key) => [key, object[key]])
}

function checkSymbols(object: object): void {
  const named = Object.getOwnPropertySymbols(object).some((symbol) =>
    Object.prototype.propertyIsEnumerable.call(object, symbol),
  )
  if (named) throw new NotKept('a symbol as a key would be lost')
}

/** How many bytes a value of a BSON type takes. Throws for types that are read back as something else. */
function bsonBytes(value: { _bsontype: unknown }): number {
  switch (value._bsontype) {
    case 'ObjectId':
      return 12
    case 'Binary':
      return CONTAINER_BYTES + (value as unknown as { length(): number }).length()
    case 'Decimal128':
      return 16
    case 'Timestamp':
      return 8
    case 'MinKey':
    case 'MaxKey':
      return 0
    case 'Long':
      return longBytes(value as unknown as { unsigned: boolean; toNumber(): number })
    default:
      throw new NotKept(
        `a ${cutText(String(value._bsontype), 80)} would come back as something else: use a plain value`,
      )
  }
}

function longBytes(long: { unsigned: boolean; toNumber(): number }): number {
  if (long.unsigned) throw new NotKept('an unsigned Long would come back as another number: write it as a text')
  if (Number.isSafeInteger(long.toNumber())) throw new NotKept('such a Long would come back as a number: use a number')
  return 8
}
