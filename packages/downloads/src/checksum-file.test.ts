import { execFile } from 'node:child_process'
import { rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fakeTask } from './fake-context.ts'
import { type TestBed, testBed } from './test-bed.ts'

let bed: TestBed
beforeAll(async () => {
  bed = await testBed({ files: { 'a.bin': { size: 1000 }, 'b.bin': { size: 1000, seed: 2 } } })
})
afterAll(() => bed.close())

const at = (file: string) => `${bed.server.url}/${file}`
const after = { checksumFile: true }

describe('a checksum file', () => {
  test('is written beside the file, as sha256sum does', async () => {
    const { file, sha256 } = await bed.run({ url: at('a.bin'), file: 'a b.bin', folder: 'x', after })
    expect(file).toBe('x/a b.bin')
    expect(String(await bed.read('x/a b.bin.sha256'))).toBe(`${sha256}  a b.bin\n`)
    const checked = await promisify(execFile)('sha256sum', ['-c', 'a b.bin.sha256'], { cwd: join(bed.root, 'x') })
    expect(checked.stdout).toContain('a b.bin: OK')
  })

  test('is written for a file that is there already, and by an attempt after a failed one', async () => {
    const task = fakeTask()
    const input = { url: at('a.bin'), file: 'there.bin', after }
    await writeFile(join(bed.root, 'there.bin.sha256'), 'something else')
    expect(await bed.code(input, {}, task)).toBe('DEST_EXISTS')
    await rm(join(bed.root, 'there.bin.sha256'))
    expect(await bed.run(input, {}, task)).toMatchObject({ fetchedBytes: 0 })
    const { sha256 } = await bed.run({ ...input, expect: 'skip' as const })
    expect(String(await bed.read('there.bin.sha256'))).toBe(`${sha256}  there.bin\n`)
  })

  test('is replaced with its file', async () => {
    const input = { url: at('a.bin'), file: 'new.bin', after, expect: 'overwrite' as const }
    const first = await bed.run(input)
    const second = await bed.run({ ...input, url: at('b.bin') })
    expect(second.sha256).not.toBe(first.sha256)
    expect(String(await bed.read('new.bin.sha256'))).toBe(`${second.sha256}  new.bin\n`)
    expect((await bed.files()).filter((one) => one.startsWith('new.bin'))).toEqual(['new.bin', 'new.bin.sha256'])
  })

  test('never follows a link', async () => {
    await symlink(join(bed.root, 'target'), join(bed.root, 'linked.bin.sha256'))
    expect(await bed.code({ url: at('a.bin'), file: 'linked.bin', after })).toBe('DEST_EXISTS')
    expect(await bed.files()).not.toContain('target')
  })
})
