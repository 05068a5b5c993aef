import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fakeTask } from './fake-context.ts'
import { BLOCK } from './hash-threads.ts'
import { type TestBed, testBed } from './test-bed.ts'

const SIZE = 6_000_000
/** Of the first half, what fills whole blocks. */
const WRITTEN = 3_000_000 - (3_000_000 % BLOCK)
const file = 'owned.bin'
const url = (query = '') => `${bed.server.url}/${file}?${query}`
const sha256 = async (name = file) =>
  createHash('sha256')
    .update(await bed.read(name))
    .digest('hex')

let bed: TestBed
beforeEach(async () => {
  bed = await testBed({ files: { [file]: { size: SIZE, seed: 2 } } })
})
afterEach(() => bed.close())

/** An attempt that waits in the middle of the body, with the first half on its way to the disk. */
async function heldAttempt(task = fakeTask(), overwrite = false, options = {}) {
  const attempt = bed.start({ url: url('hold=3000000'), file, overwrite }, options, task)
  await bed.server.held(file)
  await expect.poll(() => attempt.progress.at(-1)?.done).toBe(3_000_000)
  return { task, attempt }
}

describe('two attempts of one task', () => {
  // The worst case in all of them: the stopped attempt had passed its checks, and lease and database still say yes to it,
  // so that nothing but the disk can hold it.
  test.each([false, true])(
    'a stopped attempt that wakes after the next one has ended harms nothing (overwrite: %s)',
    async (overwrite) => {
      if (overwrite) await writeFile(join(bed.root, file), 'old')
      const { task, attempt: zombie } = await heldAttempt(fakeTask(), overwrite)
      expect(await bed.run({ url: url('hold=3000000'), file, overwrite }, {}, task)).toMatchObject({ bytes: SIZE })
      bed.server.release(file)
      await expect(zombie.ended).rejects.toMatchObject({ code: 'LEASE_LOST' })
      expect(await sha256()).toBe(await bed.server.sha256(file))
      expect(await bed.files()).toEqual([file])
    },
  )

  test('a stopped attempt that wakes with bytes of an older version does not write into the new one', async () => {
    const { task, attempt: zombie } = await heldAttempt()
    await bed.server.put(file, { size: SIZE, seed: 77 })
    expect(await bed.run({ url: url('hold=3000000'), file }, {}, task)).toMatchObject({ bytes: SIZE, resumedFrom: 0 })
    bed.server.release(file)
    await expect(zombie.ended).rejects.toMatchObject({ code: 'LEASE_LOST' })
    expect(await sha256()).toBe(await bed.server.sha256(file))
  })

  test('a stopped attempt that wakes while the next one works gives no file its name', async () => {
    const { task, attempt: zombie } = await heldAttempt()
    const second = bed.start({ url: url('hold=3000000'), file }, {}, task)
    const { save } = second.context.checkpoint
    let goOn = () => {}
    const paused = new Promise<void>((tookOver) => {
      second.context.checkpoint.save = async (state) => {
        tookOver()
        await new Promise<void>((resolve) => {
          goOn = resolve
        })
        second.context.checkpoint.save = save
        await save(state)
      }
    })
    await paused
    bed.server.release(file)
    await expect(zombie.ended).rejects.toMatchObject({ code: 'LEASE_LOST' })
    expect((await bed.files()).includes(file)).toBe(false)
    goOn()
    expect(await second.ended).toMatchObject({ bytes: SIZE, resumedFrom: WRITTEN })
    expect(await sha256()).toBe(await bed.server.sha256(file))
    expect(await bed.files()).toEqual([file])
  })

  test('the new attempt has the bytes of the old one, and fetches none of them again', async () => {
    const { task, attempt: zombie } = await heldAttempt()
    zombie.lease.owned = false
    bed.server.release(file)
    await expect(zombie.ended).rejects.toMatchObject({ code: 'LEASE_LOST' })
    const [part] = (await bed.files()).filter((name) => name.endsWith('.part'))
    expect(part).toContain(task.id)
    const before = bed.server.served(file).bytes
    const output = await bed.run({ url: url('hold=3000000'), file }, {}, task)
    expect(output.resumedFrom).toBeGreaterThan(0)
    expect(output.resumedFrom + output.fetchedBytes).toBe(SIZE)
    expect(bed.server.served(file).bytes - before).toBe(output.fetchedBytes)
    expect(await bed.files()).toEqual([file])
  })

  test('an attempt waits with its next write while the lease is in doubt, and goes on when it is proved', async () => {
    const { attempt } = await heldAttempt()
    const [part = ''] = (await bed.files()).filter((name) => name.endsWith('.part'))
    await expect.poll(async () => (await bed.read(part)).length).toBe(WRITTEN)
    attempt.lease.inDoubt = true
    bed.server.release(file)
    await expect.poll(() => attempt.progress.at(-1)!.done).toBeGreaterThan(3_000_000)
    await sleep(300)
    expect((await bed.read(part)).length).toBe(WRITTEN)
    attempt.lease.inDoubt = false
    expect(await attempt.ended).toMatchObject({ bytes: SIZE, fetchedBytes: SIZE, resumedFrom: 0 })
    expect(await sha256()).toBe(await bed.server.sha256(file))
  })

  test('a server that is kept waiting while the lease is in doubt is not too slow', async () => {
    const attempt = bed.start({ url: url(), file }, { minBytesPerSecond: 1, stallMs: 500 })
    const inDoubt = new Promise<void>((resolve) => {
      attempt.context.progress = () => {
        attempt.context.progress = () => {}
        attempt.lease.inDoubt = true
        resolve()
      }
    })
    await inDoubt
    // Nothing may happen in two windows of the watch, so there is no event to wait for.
    await sleep(1_250)
    attempt.lease.inDoubt = false
    expect(await attempt.ended).toMatchObject({ bytes: SIZE })
  })

  test('an attempt stops before its next write once the lease is lost', async () => {
    const { attempt } = await heldAttempt()
    const [part = ''] = (await bed.files()).filter((name) => name.endsWith('.part'))
    await expect.poll(async () => (await bed.read(part)).length).toBe(WRITTEN)
    attempt.lease.owned = false
    bed.server.release(file)
    await expect(attempt.ended).rejects.toMatchObject({ code: 'LEASE_LOST' })
    expect((await bed.read(part)).length).toBe(WRITTEN)
    expect(await bed.files()).toEqual([part])
  })

  test.each(['confirmed', 'saves'] as const)(
    'an attempt without a lease in the database gives no file its name (%s)',
    async (which) => {
      const { attempt } = await heldAttempt()
      attempt.lease[which] = false
      bed.server.release(file)
      await expect(attempt.ended).rejects.toMatchObject({ code: 'LEASE_LOST' })
      expect(await bed.files()).toEqual([expect.stringMatching(/\.part$/)])
    },
  )

  test('what an attempt had finished but could not report counts for the next', async () => {
    const task = fakeTask()
    const first = await bed.run({ url: url(), file }, {}, task)
    const second = await bed.run({ url: url(), file }, {}, task)
    expect(second).toMatchObject({ sha256: first.sha256, bytes: SIZE, fetchedBytes: 0 })
    expect(bed.server.served(file).requests).toBe(1)
  })
})

describe('two tasks with one destination', () => {
  test('the second is refused while the first works, and afterwards because the file exists', async () => {
    const { attempt } = await heldAttempt()
    expect(await bed.code({ url: url(), file })).toBe('DEST_BUSY')
    expect(await bed.code({ url: url(), file, overwrite: true })).toBe('DEST_BUSY')
    bed.server.release(file)
    await attempt.ended
    expect(await bed.code({ url: url(), file })).toBe('DEST_EXISTS')
    expect(await sha256()).toBe(await bed.server.sha256(file))
  })

  test('a lock that its task left behind is taken over, and bytes are not mixed even if that task still lives', async () => {
    const { attempt } = await heldAttempt(fakeTask(), false, { lockStaleMs: 60_000_000 })
    await expect.poll(() => bed.code({ url: url(), file }, { lockStaleMs: 1 })).toBe('completed')
    bed.server.release(file)
    await expect(attempt.ended).rejects.toMatchObject({ code: 'DEST_EXISTS' })
    expect(await sha256()).toBe(await bed.server.sha256(file))
    expect(await bed.files()).toEqual([file])
  })

  test('of ten that start at once, one completes', async () => {
    const codes = await Promise.all(Array.from({ length: 10 }, () => bed.code({ url: url('rate=20MB'), file })))
    expect(codes.filter((code) => code === 'completed')).toHaveLength(1)
    expect(codes.filter((code) => code === 'DEST_BUSY')).toHaveLength(9)
    expect(await bed.files()).toEqual([file])
  })
})

describe('an attempt that is ended from outside', () => {
  test('removes its part when cancelled at the start or half-way', async () => {
    const early = bed.start({ url: url(), file })
    early.abort('CANCELLED')
    await expect(early.ended).rejects.toMatchObject({ code: 'CANCELLED' })
    const { attempt } = await heldAttempt()
    attempt.abort('CANCELLED')
    await expect(attempt.ended).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(await bed.files()).toEqual([])
  })

  test('keeps what it had when cancelled with keepPartial', async () => {
    const { attempt } = await heldAttempt(fakeTask(), false, { keepPartial: true })
    attempt.abort('CANCELLED')
    await expect(attempt.ended).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(await bed.files()).toEqual([expect.stringMatching(/\.part$/)])
  })

  test.each(['PAUSED', 'SHUTDOWN', 'TIMED_OUT'] as const)(
    'leaves its part to the next attempt on %s, byte for byte',
    async (code) => {
      const { attempt, task } = await heldAttempt()
      attempt.abort(code)
      await expect(attempt.ended).rejects.toMatchObject({ code })
      expect(await bed.files()).toEqual([expect.stringMatching(/\.idle\.part$/)])
      expect(await bed.run({ url: url('hold=3000000'), file }, {}, task)).toMatchObject({
        resumedFrom: 3_000_000,
        fetchedBytes: 3_000_000,
      })
      expect(await bed.files()).toEqual([file])
    },
  )

  test('is cancelled between the last byte and the new name, and completed after it', async () => {
    const during = bed.start({ url: url(), file })
    const { save } = during.context.checkpoint
    during.context.checkpoint.save = async (state) => {
      await save(state)
      if ((state as { sha256?: string }).sha256) during.abort('CANCELLED')
    }
    await expect(during.ended).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(await bed.files()).toEqual([])

    const after = bed.start({ url: url(), file })
    after.context.log.info = (message) => {
      if (message.includes('is complete')) after.abort('CANCELLED')
    }
    await expect(after.ended).resolves.toMatchObject({ bytes: SIZE })
    expect(await bed.files()).toEqual([file])
  })
})
