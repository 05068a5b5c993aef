import { Binary, Long, ObjectId } from 'mongodb'

const nested = (depth: number): unknown => {
  let value: unknown = 1
  for (let level = 0; level < depth; level += 1) value = { a: value }
  return value
}

/** Values that the database or JSON would change or can't store, by the name of the problem. */
export function oddValues(): Record<string, unknown> {
  const circle: Record<string, unknown> = {}
  circle.me = circle
  return {
    'an invalid Date': new Date('garbage'),
    'a BigInt above 64 bits': 2n ** 70n,
    'a Map': new Map([[{ a: 1 }, 1]]),
    'a Set': new Set([1, 2]),
    'an Error': new Error('lost'),
    'a function': () => 1,
    'a symbol': Symbol('x'),
    'a typed array': new Uint16Array([1, 70_000]),
    'a URL': new URL('http://host/'),
    'a RegExp': /a/g,
    Headers: new Headers({ a: 'b' }),
    'a boxed number': Object(5),
    'a Promise': Promise.resolve(5),
    'half a surrogate pair': 'a\ud800',
    'half a surrogate pair as a key': { '\ud800': 1 },
    'an operator as a key': { $gt: 1 },
    'a circle': circle,
    'a getter that throws': {
      get x(): never {
        throw new Error('not for you')
      },
    },
    'a list with holes': new Array(3),
    '5,000 levels': nested(5_000),
    '17 MB': 'x'.repeat(17 * 2 ** 20),
  }
}

/** Values that come back as they were. */
export function soundValues(): Record<string, unknown> {
  return {
    text: 'häß \u{1f600} $secret',
    numbers: [0, 1.5, -7, 2 ** 31, Number.NaN, Number.NEGATIVE_INFINITY],
    flags: [true, false, null],
    at: new Date(1_000),
    id: new ObjectId('0123456789abcdef01234567'),
    bytes: new Binary(Buffer.from([1, 2, 3])),
    long: Long.fromString('9007199254740993'),
    deep: nested(90),
  }
}
