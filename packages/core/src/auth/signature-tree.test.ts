import { createHash } from 'node:crypto'
import { taskFactory } from '@taskfleet/testkit/task-factory'
import { describe, expect, test } from 'vitest'
import { MemoryDatabase } from '../memory/memory-database.ts'
import { leafOf, MOST_LEAVES, type TreePath, TreeVerifier, treeOf } from './signature-tree.ts'
import { newSigningKey, Signing } from './signing.ts'

const sha256 = (...parts: (Buffer | string)[]): Buffer =>
  createHash('sha256')
    .update(Buffer.concat(parts.map((part) => Buffer.from(part))))
    .digest()
const leaves = (count: number): Buffer[] => Array.from({ length: count }, (_, n) => leafOf(Buffer.from(`leaf ${n}`)))

/** The root that a path leads to. */
function rootOf(leaf: Buffer, path: TreePath): Buffer | undefined {
  let root: Buffer | undefined
  new TreeVerifier().verify(leaf, path, 'signature', (found) => {
    root = found
    return true
  })
  return root
}

describe('the hash tree', () => {
  test('is that of RFC 6962', () => {
    const [a, b, c] = ['a', 'b', 'c'].map((text) => leafOf(Buffer.from(text))) as [Buffer, Buffer, Buffer]
    expect(a).toEqual(sha256('\0', 'a'))
    expect(treeOf([a, b, c]).root).toEqual(sha256('\x01', sha256('\x01', a, b), c))
  })

  test.each(Array.from({ length: MOST_LEAVES }, (_, n) => n + 1))('leads each of %i leaves to its root', (count) => {
    const all = leaves(count)
    const { root, paths } = treeOf(all)
    for (const [index, leaf] of all.entries()) {
      if (count > 1) expect(rootOf(leaf, paths[index]!)).toEqual(root)
      for (const [other, path] of paths.entries()) {
        if (other !== index) expect(rootOf(leaf, path)).not.toEqual(root)
      }
    }
  })

  test('has no path without hashes, with part of one, with too many, or with a side for none', () => {
    const leaf = leafOf(Buffer.from('leaf'))
    for (const bytes of [0, 31, 33, 7 * 32])
      expect(rootOf(leaf, { sides: 0, hashes: Buffer.alloc(bytes) })).toBeUndefined()
    expect(rootOf(leaf, { sides: 2, hashes: Buffer.alloc(32) })).toBeUndefined()
  })

  test.each([2, 5, 16, 63, 64])('of %i leaves is verified once, and then has one valid path for each leaf', (count) => {
    const all = leaves(count)
    const { root, paths } = treeOf(all)
    const verifier = new TreeVerifier()
    let asked = 0
    const verify = (leaf: Buffer, path: TreePath, signature = 'right'): boolean =>
      verifier.verify(leaf, path, signature, (found) => {
        asked += 1
        return signature === 'right' && found.equals(root)
      })
    for (const [index, leaf] of all.entries()) expect(verify(leaf, paths[index]!)).toBe(true)
    expect(asked).toBe(1)
    for (const [index, leaf] of all.entries()) {
      const { sides, hashes } = paths[index]!
      expect(verify(leaf, paths[index]!, 'wrong')).toBe(false)
      expect(verify(leafOf(leaf), paths[index]!)).toBe(false)
      for (let bit = 0; bit < 6; bit += 1) expect(verify(leaf, { sides: sides ^ (1 << bit), hashes })).toBe(false)
      for (let at = 0; at < hashes.length; at += 16) {
        const changed = Buffer.from(hashes)
        changed[at]! ^= 1
        expect(verify(leaf, { sides, hashes: changed })).toBe(false)
      }
    }
    // A node of the tree is not a leaf of it with the rest of the path.
    if (count > 2) {
      const { sides, hashes } = paths[0]!
      expect(verify(leafOf(hashes), { sides: sides >> 1, hashes: hashes.subarray(32) })).toBe(false)
    }
  })

  test('never makes an unsigned root known', () => {
    const all = leaves(4)
    const { paths } = treeOf(all)
    const verifier = new TreeVerifier()
    for (const round of [1, 2]) {
      for (const [index, leaf] of all.entries())
        expect([round, verifier.verify(leaf, paths[index]!, 'x', () => false)]).toEqual([round, false])
    }
  })
})

/** A producer's signatures, and a worker that only has the public key. */
function signer() {
  const { key, trusted } = newSigningKey('ed25519-batch', 'producer')
  const producer = new Signing({ key })
  const worker = new Signing({ mode: 'required', trusted: [trusted] })
  const signed = (count: number, name = 'pay') => {
    const tasks = Array.from({ length: count }, (_, n) => ({ _id: `${name} ${n}`, name, input: { n } }))
    const signatures = producer.signAll(
      'task',
      tasks.map((content) => ({ content, notBefore: undefined })),
    )
    return tasks.map((task, index) => ({ ...task, signature: signatures[index]! }))
  }
  return { key, trusted, producer, worker, signed }
}
const sharedOf = (signature: unknown): string => String(signature).split(':')[3]!
/** The same text with another letter, as a decoder may read it. */
const letterChanged = (text: string, at: number): string =>
  `${text.slice(0, at)}${text[at] === 'B' ? 'C' : text[at] === '1' ? '2' : /\d/.test(text[at]!) ? '1' : 'B'}${text.slice(at + 1)}`

describe('documents that are signed together', () => {
  test.each([1, 2, 3, 63, 64, 65, 500])('are valid each, in a list of %i', (count) => {
    const { worker, signed } = signer()
    const tasks = signed(count)
    // From the last to the first: the order does not matter.
    expect(tasks.toReversed().map((task) => worker.problem('task', task))).toEqual(tasks.map(() => undefined))
    expect(new Set(tasks.map(({ signature }) => sharedOf(signature))).size).toBe(Math.ceil(count / 64))
    expect(Math.max(...tasks.map(({ signature }) => signature.length))).toBeLessThan(400)
  })

  test('are signed alone if there is only one, or if the key makes no trees', () => {
    const { signed, key, worker } = signer()
    expect(signed(1)[0]!.signature.split(':')).toHaveLength(4)
    expect(signed(65)[64]!.signature.split(':')).toHaveLength(4)
    const plain = new Signing({ key: key.replace('ed25519-batch', 'ed25519') })
    const contents = [{ _id: 1 }, { _id: 2 }]
    const signatures = plain.signAll(
      'task',
      contents.map((content) => ({ content, notBefore: undefined })),
    )
    for (const [index, signature] of signatures.entries()) {
      expect(signature!.split(':')).toHaveLength(4)
      expect(worker.problem('task', { ...contents[index], signature })).toBeUndefined()
    }
  })

  test('are invalid after a change of any letter of the signature or the path', () => {
    const { worker, signed } = signer()
    const [, task] = signed(64)
    for (const known of [false, true]) {
      // The second time, the worker has verified the root.
      if (known) expect(worker.problem('task', task!)).toBeUndefined()
      for (let at = 0; at < task!.signature.length; at += 1) {
        const signature = letterChanged(task!.signature, at)
        expect([at, worker.problem('task', { ...task, signature })?.code]).toEqual([at, 'BAD_SIGNATURE'])
      }
    }
    expect(worker.problem('task', task!)).toBeUndefined()
  })

  test('are invalid with any changed field, and with the path or signature of another', () => {
    const { worker, signed } = signer()
    const tasks = signed(4)
    const others = signed(4, 'other')
    for (const task of [...tasks, ...others]) expect(worker.problem('task', task)).toBeUndefined()
    const [first, second] = tasks as [(typeof tasks)[0], (typeof tasks)[0]]
    const changes = {
      _id: 'x',
      name: 'x',
      version: 2,
      queue: 'x',
      input: { n: 7 },
      deadline: new Date(),
      replayOf: 'x',
    }
    for (const [field, value] of Object.entries({ ...changes, schedule: 'x', event: 'x' })) {
      expect([field, worker.problem('task', { ...first, [field]: value })?.code]).toEqual([field, 'BAD_SIGNATURE'])
    }
    expect(worker.problem('schedule', first)?.code).toBe('BAD_SIGNATURE')
    const parts = (of: { signature: string }): string[] => of.signature.split(':')
    for (const from of [second, tasks[2]!, others[0]!, others[1]!]) {
      for (const places of [[3], [4], [5], [4, 5], [3, 4, 5]]) {
        const mixed = parts(first).map((part, place) => (places.includes(place) ? parts(from)[place]! : part))
        const signature = mixed.join(':')
        if (signature === first.signature) continue
        expect([places, worker.problem('task', { ...first, signature })?.code]).toEqual([places, 'BAD_SIGNATURE'])
      }
    }
  })

  test('are invalid with a path that is missing, too short, too long, or has no length of hashes', () => {
    const { worker, signed } = signer()
    const [first] = signed(64)
    expect(worker.problem('task', first!)).toBeUndefined()
    const [kid, at, notBefore, sig, sides, path] = first!.signature.split(':') as [
      string,
      string,
      string,
      string,
      string,
      string,
    ]
    const hashes = Buffer.from(path, 'base64url')
    const paths = [
      ...[0, 1, 31, 32, 64, 96, 160, 191].map((bytes) => hashes.subarray(0, bytes)),
      Buffer.concat([hashes, Buffer.alloc(1)]),
      Buffer.concat([hashes, Buffer.alloc(32)]),
      Buffer.alloc(1_000_000),
    ].map((bytes) => `:${sides}:${bytes.toString('base64url')}`)
    const ends = [
      ...paths,
      '',
      ':',
      `:${sides}`,
      `:64:${path}`,
      `:-0:${path}`,
      `:00:${path}`,
      `:${sides}:${path}:`,
      `:${sides}:${path}=`,
    ]
    for (const end of ends) {
      const signature = `${kid}:${at}:${notBefore}:${sig}${end}`
      expect([end.slice(0, 60), worker.problem('task', { ...first, signature })?.code]).toEqual([
        end.slice(0, 60),
        'BAD_SIGNATURE',
      ])
    }
  })

  test('are valid only with the key of their signature, also after it was verified for another', () => {
    const { worker, signed, trusted } = signer()
    const [first] = signed(2)
    expect(worker.problem('task', first!)).toBeUndefined()
    const both = new Signing({ mode: 'required', trusted: [trusted, newSigningKey('ed25519', 'other').trusted] })
    expect(both.problem('task', first!)).toBeUndefined()
    const signature = first!.signature.replace('producer', 'other')
    expect(both.problem('task', { ...first, signature })?.code).toBe('BAD_SIGNATURE')
    // An HMAC key verifies no trees.
    const hmac = new Signing({ mode: 'required', trusted: [newSigningKey('hmac', 'producer').trusted] })
    expect(hmac.problem('task', first!)?.code).toBe('BAD_SIGNATURE')
  })

  test('are valid among more trees than a worker remembers', () => {
    const { worker, signed } = signer()
    const lists = Array.from({ length: 2_000 }, (_, n) => signed(2, `list ${n}`))
    for (const place of [0, 1]) {
      for (const list of lists) expect(worker.problem('task', list[place]!)).toBeUndefined()
      for (const list of lists.slice(0, 10)) {
        expect(worker.problem('task', { ...list[place]!, input: 'forged' })?.code).toBe('BAD_SIGNATURE')
      }
    }
  })
})

test('the tasks of lists, and of calls that come together, share signatures and stay valid after every change', async () => {
  const { key, trusted, worker } = signer()
  const memory = new MemoryDatabase()
  const fleet = memory.fleet({ signing: { key, mode: 'required', trusted: [trusted] } })
  const admin = fleet.as()
  const stored = async () =>
    (await memory.db.collection('tasks').find({}).toArray()) as unknown as { signature: string }[]
  const problems = async () =>
    (await stored()).map((task) => worker.problem('task', task)).filter((one) => one !== undefined)
  const list = await admin.tasks.enqueueMany({
    tasks: Array.from({ length: 500 }, (_, n) => ({ name: 'pay', input: { n } })),
  })
  expect(await problems()).toEqual([])
  expect(new Set((await stored()).map(({ signature }) => sharedOf(signature))).size).toBe(8)
  // Not plain: the server computes the fields.
  await admin.tasks.enqueueMany({
    tasks: Array.from({ length: 3 }, (_, n) => ({ name: 'pay', key: `k${n}`, deadline: '2099-01-01' })),
  })
  await Promise.all(Array.from({ length: 40 }, (_, n) => admin.tasks.enqueue({ name: 'pay', input: { single: n } })))
  const ids = list.map(({ _id }) => _id)
  await admin.tasks.edit({ id: ids[0]!, changes: { input: { n: 'edited' } } })
  for (const id of ids.slice(1, 4)) await admin.tasks.edit({ id, changes: { queue: 'bulk', runAt: '2099-01-01' } })
  await admin.tasks.cancel({ ids: ids.slice(4, 8) })
  await admin.tasks.retry({ ids: ids.slice(4, 6) })
  const failed = await taskFactory(fleet.store).failed({ name: 'pay', input: { n: 5 } })
  await admin.tasks.replay({ ids: [failed._id.toHexString(), ids[6]!, ids[7]!] })
  await admin.schedules.create({ _id: 'nightly', task: 'pay', cron: '0 3 * * *' })
  await admin.schedules.run({ name: 'nightly' })
  for (const version of [1, 2, 3]) await admin.callbacks.create({ event: 'Paid', task: 'pay', version })
  expect((await admin.events.post({ name: 'Paid' })).tasks).toHaveLength(3)
  expect(await problems()).toEqual([])
  expect((await stored()).length).toBeGreaterThan(550)
})
