import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isNumbered, numberedNames } from '@taskfleet/download-contract/internal'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { fakeTask } from './fake-context.ts'
import { type TestBed, testBed } from './test-bed.ts'

const SIZE = 300_000
let bed: TestBed
let sha256: string
beforeAll(async () => {
  bed = await testBed({ files: { 'f.bin': { size: SIZE }, 'other.bin': { size: SIZE, seed: 9 } } })
  sha256 = await bed.server.sha256('f.bin')
})
afterAll(() => bed.close())
afterEach(async () => {
  for (const name of await bed.files()) await rm(join(bed.root, name), { recursive: true })
})

const url = (file = 'f.bin') => `${bed.server.url}/${file}`
const requests = () => bed.server.served('f.bin').requests

describe('a file that is there', () => {
  test.each([undefined, 'skip', 'rename', 'overwrite'] as const)(
    'and right is success without a request (%s)',
    async (expected) => {
      await bed.run({ url: url(), file: 'x' })
      const before = requests()
      const output = await bed.run({ url: url(), file: 'x', sha256, ...(expected && { expect: expected }) })
      expect(output).toMatchObject({ file: 'x', bytes: SIZE, sha256, fetchedBytes: 0, resumedFrom: SIZE })
      expect(requests()).toBe(before)
      expect(await bed.files()).toEqual(['x'])
    },
  )

  test('is left as it is by skip, unless it is known to be wrong', async () => {
    await writeFile(join(bed.root, 'x'), 'old')
    expect(await bed.run({ url: url(), file: 'x', expect: 'skip' })).toMatchObject({ file: 'x', bytes: 3 })
    expect(await bed.run({ url: url(), file: 'x', expect: 'skip', size: 3 })).toMatchObject({ bytes: 3 })
    for (const more of [{ size: 4 }, { sha256 }])
      expect(await bed.code({ url: url(), file: 'x', expect: 'skip', ...more })).toBe('DEST_EXISTS')
    expect((await bed.read('x')).toString()).toBe('old')
  })

  test('is replaced by overwrite, and without a word it is not', async () => {
    await writeFile(join(bed.root, 'x'), 'old')
    expect(await bed.code({ url: url(), file: 'x', sha256 })).toBe('DEST_EXISTS')
    expect(await bed.run({ url: url(), file: 'x', sha256, expect: 'overwrite' })).toMatchObject({ fetchedBytes: SIZE })
    expect((await bed.read('x')).length).toBe(SIZE)
  })

  test('gets company by rename, whatever it is', async () => {
    await writeFile(join(bed.root, 'x.tar.gz'), 'old')
    await mkdir(join(bed.root, 'x (1).tar.gz'))
    await symlink('nowhere', join(bed.root, 'x (2).tar.gz'))
    const input = { url: url(), file: 'x.tar.gz', expect: 'rename' } as const
    expect(await bed.run(input)).toMatchObject({ file: 'x (3).tar.gz', sha256 })
    expect(await bed.run(input)).toMatchObject({ file: 'x (4).tar.gz' })
    expect((await bed.read('x.tar.gz')).toString()).toBe('old')
  })

  test('of which the name is the server’s is judged as well', async () => {
    await writeFile(join(bed.root, 'f.bin'), 'old')
    expect(await bed.code({ url: url() })).toBe('DEST_EXISTS')
    expect(await bed.run({ url: url(), expect: 'rename' })).toMatchObject({ file: 'f (1).bin' })
    expect(await bed.run({ url: url(), expect: 'skip' })).toMatchObject({ file: 'f.bin', bytes: 3 })
  })
})

describe('rename', () => {
  test('works on the next name while another task works on the first', async () => {
    const first = bed.start({ url: `${url()}?hold=100000`, file: 'x' })
    await bed.server.held('f.bin')
    expect(await bed.run({ url: url('other.bin'), file: 'x', expect: 'rename' })).toMatchObject({ file: 'x (1)' })
    bed.server.release('f.bin')
    expect(await first.ended).toMatchObject({ file: 'x' })
  })

  test('finds another name when the first one is taken during the download', async () => {
    const attempt = bed.start({ url: url(), file: 'x', expect: 'rename' })
    const { save } = attempt.context.checkpoint
    attempt.context.checkpoint.save = async (state) => {
      await save(state)
      await writeFile(join(bed.root, 'x'), 'meanwhile', { flag: 'wx' }).catch(() => undefined)
    }
    expect(await attempt.ended).toMatchObject({ file: 'x (1)', bytes: SIZE })
    expect(await bed.files()).toEqual(['x', 'x (1)'])
  })

  test('keeps its name in the next attempt', async () => {
    await writeFile(join(bed.root, 'x'), 'old')
    const task = fakeTask()
    const input = { url: `${url('other.bin')}?hold=100000`, file: 'x', expect: 'rename' } as const
    const attempt = bed.start(input, {}, task)
    await bed.server.held('other.bin')
    await expect.poll(() => attempt.progress.at(-1)?.done).toBe(100_000)
    attempt.abort('SHUTDOWN')
    await expect(attempt.ended).rejects.toMatchObject({ code: 'SHUTDOWN' })
    await rm(join(bed.root, 'x'))
    expect(await bed.run(input, {}, task)).toMatchObject({ file: 'x (1)', resumedFrom: 100_000 })
    expect(await bed.files()).toEqual(['x (1)'])
  })

  test.each([
    ['a.txt', 'a (1).txt'],
    ['a.tar.gz', 'a (1).tar.gz'],
    ['a', 'a (1)'],
    ['.hidden', '.hidden (1)'],
    ['x'.repeat(160), `${'x'.repeat(156)} (1)`],
  ])('the next name of %j', (name, next) => {
    expect(numberedNames(name).next().value).toBe(next)
    expect(isNumbered(next, name)).toBe(true)
    expect(isNumbered('b (1).txt', name)).toBe(false)
    expect(isNumbered(name, name)).toBe(false)
  })
})
