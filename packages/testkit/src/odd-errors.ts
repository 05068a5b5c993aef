/** Odd values that a handler may throw, by name. Each call makes new ones, since some change when they are read. */
export function oddErrors(): Record<string, unknown> {
  const getter = (field: string, listed = false): Error =>
    Object.defineProperty(new Error('base'), field, {
      enumerable: listed,
      get: () => {
        throw new Error(`no ${field} for you`)
      },
    })
  const set = (field: string, value: unknown): Error => Object.defineProperty(new Error('base'), field, { value })
  const circle: Error = new Error('a')
  circle.cause = new Error('b', { cause: circle })
  const { proxy: revoked, revoke } = Proxy.revocable({}, {})
  revoke()
  const trap = (): never => {
    throw new Error('trap')
  }
  const trapped = { get: trap, has: trap, ownKeys: trap, getPrototypeOf: trap, getOwnPropertyDescriptor: trap }
  let looks = 0
  return {
    null: null,
    undefined,
    'an empty text': '',
    'a text': 'just text',
    'a number': 7,
    'a BigInt': 10n,
    'a symbol': Symbol('s'),
    'a function': () => 1,
    'an object without a prototype': Object.create(null),
    'an object with a code': { code: 'INPUT_INVALID', message: 'mine' },
    'an object whose code throws': {
      get code(): never {
        throw new Error('no')
      },
    },
    'an object that refuses to be inspected': {
      [Symbol.for('nodejs.util.inspect.custom')]: trap,
    },
    'a frozen error': Object.freeze(new Error('frozen')),
    'a circle of causes': circle,
    'a cause that throws': new Error('outer', { cause: getter('message') }),
    'a cause that is a proxy': new Error('outer', { cause: new Proxy(new Error('in'), trapped) }),
    'many errors': new AggregateError([new Error('x'), null, getter('message')], 'many'),
    'a code that throws': getter('code'),
    'a listed code that throws': getter('code', true),
    'a listed field that throws': getter('detail', true),
    'a message that throws': getter('message'),
    'a stack that throws': getter('stack'),
    'a name that throws': getter('name'),
    'a cause getter that throws': getter('cause'),
    'a message that is undefined': set('message', undefined),
    'a message that is an object': set('message', { a: 1 }),
    'a message that is a number': set('message', 7),
    'a message that is a symbol': set('message', Symbol('m')),
    'a message that is empty': new Error(''),
    'a stack that is a list': set('stack', ['frame']),
    'a stack that is an object': set('stack', {}),
    'a stack that is a number': set('stack', 42),
    'a stack that is undefined': set('stack', undefined),
    'a name that is undefined': set('name', undefined),
    'a name that is a symbol': set('name', Symbol('n')),
    'a name of 10 MB': set('name', 'n'.repeat(10_000_000)),
    'a code that is an object': Object.assign(new Error('base'), { code: { $gt: 1 } }),
    'a code that is a number': Object.assign(new Error('base'), { code: 11_000 }),
    'a code of 10 MB': Object.assign(new Error('base'), { code: 'c'.repeat(10_000_000) }),
    'a message that changes': Object.defineProperty(new Error('base'), 'message', {
      get: () => {
        looks += 1
        return looks % 2 === 0 ? 5 : 'text'
      },
    }),
    'a message of 10 MB': new Error('x'.repeat(10_000_000)),
    'half a surrogate pair': new Error('bad \ud800 half'),
    'a NUL': new Error('nul \0 in it'),
    'a revoked proxy': revoked,
    'a proxy that throws': new Proxy({}, trapped),
    'a proxy of an error that throws': new Proxy(new Error('in'), trapped),
    'a proxy of a function': new Proxy(() => 1, trapped),
  }
}
