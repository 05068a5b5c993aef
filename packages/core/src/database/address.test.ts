import { expect, test } from 'vitest'
import { databaseName, refuseWeakOptions } from './address.ts'

const nameOf = (uri: string, asked?: string, env: NodeJS.ProcessEnv = {}): string => databaseName(uri, asked, env)
const refused = (act: () => unknown): { code?: string; message?: string; field?: string } => {
  try {
    act()
  } catch (error) {
    return error as Error & { code: string; field: string }
  }
  return {}
}

test.each([
  ['mongodb://h', 'taskfleet'],
  ['mongodb://h/', 'taskfleet'],
  ['mongodb://h?appName=x', 'taskfleet'],
  ['mongodb://h/?appName=x', 'taskfleet'],
  ['mongodb://h/fleet', 'fleet'],
  ['mongodb://a:1,b:2,c:3/fleet?replicaSet=rs0', 'fleet'],
  ['mongodb+srv://cluster.example.net/fleet?authSource=admin', 'fleet'],
  ['mongodb://h/caf%C3%A9', 'café'],
  ['mongodb://h/my-fleet', 'my-fleet'],
  ['mongodb://h/2fleet', '2fleet'],
  [`mongodb://h/${'x'.repeat(63)}`, 'x'.repeat(63)],
  ['mongodb://ann:p%2Fw@h/fleet', 'fleet'],
])('the name in %s is %s', (uri, name) => {
  expect(nameOf(uri)).toBe(name)
})

test('the requested name takes precedence over the environment, and that over the address', () => {
  expect(nameOf('mongodb://h/path', 'asked', { TASKFLEET_DB: 'env' })).toBe('asked')
  expect(nameOf('mongodb://h/path', undefined, { TASKFLEET_DB: 'env' })).toBe('env')
  expect(nameOf('mongodb://h/path', '', { TASKFLEET_DB: '' })).toBe('path')
})

test("a user that signs in at admin does not change the fleet's database", () => {
  expect(nameOf('mongodb://ann:secret@h/admin')).toBe('taskfleet')
  expect(nameOf('mongodb://ann:secret@h/admin?authSource=admin')).toBe('taskfleet')
  expect(nameOf('mongodb+srv://ann:secret@cluster.example.net/admin', 'fleet')).toBe('fleet')
})

test.each(['mongodb://h/admin', 'mongodb://h/config', 'mongodb://h/local', 'mongodb://ann:secret@h/local'])(
  '%s names a database of MongoDB itself, and the remedy is told',
  (uri) => {
    expect(refused(() => nameOf(uri))).toMatchObject({
      code: 'BAD_DATABASE_NAME',
      message: expect.stringMatching(/--db.*TASKFLEET_DB/),
    })
  },
)

test.each([
  ['my.fleet', /"\."/],
  ['my%20fleet', /" "/],
  ['$fleet', /"\$"/],
  ['a%2Fb', /"\/"/],
  ['a%00b', /u0000/],
  ['x'.repeat(64), /64 bytes/],
  ['%C3%A9'.repeat(32), /64 bytes/],
  ['%E0%A4%A', /percent-encoded/],
])('the name %s is refused with the reason', (path, reason) => {
  expect(refused(() => nameOf(`mongodb://h/${path}`))).toMatchObject({
    code: 'BAD_DATABASE_NAME',
    message: expect.stringMatching(reason),
  })
})

test('a requested name is checked like one in the address', () => {
  expect(refused(() => nameOf('mongodb://h', 'admin')).code).toBe('BAD_DATABASE_NAME')
  expect(refused(() => nameOf('mongodb://h', undefined, { TASKFLEET_DB: 'a b' })).code).toBe('BAD_DATABASE_NAME')
})

test.each([
  ['w=1', 'w'],
  ['W=1', 'w'],
  ['readConcernLevel=local', 'readConcernLevel'],
  ['readPreference=secondary', 'readPreference'],
  ['retryWrites=false', 'retryWrites'],
  ['wtimeoutMS=1000', 'wtimeoutMS'],
  ['wTimeoutMS=1', 'wtimeoutMS'],
  ['journal=false', 'journal'],
])('an address with %s is refused', (option, field) => {
  expect(refused(() => refuseWeakOptions(`mongodb://h/fleet?appName=x&${option}`))).toMatchObject({
    code: 'NEEDS_MAJORITY',
    field,
  })
})

test.each(['w=majority', 'journal=true', 'retryWrites=true', 'replicaSet=rs0&tls=true', ''])(
  'an address with %j is taken',
  (options) => {
    expect(refused(() => refuseWeakOptions(`mongodb://h/fleet?${options}`)).code).toBeUndefined()
  },
)
