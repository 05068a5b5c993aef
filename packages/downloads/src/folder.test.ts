import { lstat, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { checkedFolder } from '@taskfleet/download-contract/internal'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { codeOf } from './failures.ts'
import { type TestBed, testBed } from './test-bed.ts'

let bed: TestBed
beforeAll(async () => {
  bed = await testBed({ files: { 'dir/film.mkv': { size: '64KiB' } } })
})
afterAll(() => bed.close())

describe('a download to a folder', () => {
  const url = () => `${bed.server.url}/dir/film.mkv`

  test('makes it where it is missing, and reports the path under the root', async () => {
    await expect(bed.run({ url: url(), folder: 'films/2026' })).resolves.toMatchObject({ file: 'films/2026/film.mkv' })
    expect(await bed.read('films/2026/film.mkv')).toHaveLength(65_536)
    expect(await readdir(join(bed.root, 'films/2026'))).toEqual(['film.mkv'])
    const again = { url: url(), folder: 'films/2026/', expect: 'rename' } as const
    await expect(bed.run(again)).resolves.toMatchObject({ file: 'films/2026/film (1).mkv' })
    const there = { url: url(), folder: 'films/2026', expect: 'skip' } as const
    await expect(bed.run(there)).resolves.toMatchObject({ file: 'films/2026/film.mkv', fetchedBytes: 0 })
  })

  test('may be one of many that make the same folder at the same moment', async () => {
    const names = Array.from({ length: 8 }, (_, n) => `${n}.mkv`)
    await Promise.all(names.map((file) => bed.run({ url: url(), file, folder: 'a/b/c' })))
    expect((await readdir(join(bed.root, 'a/b/c'))).sort()).toEqual(names)
  })

  test('never follows a link, and never leaves the root', async () => {
    const outside = join(bed.root, '..', `outside-${process.pid}`)
    await mkdir(join(bed.root, 'real'))
    await symlink(join(bed.root, 'real'), join(bed.root, 'link'))
    await symlink(outside, join(bed.root, 'dangling'))
    await writeFile(join(bed.root, 'file'), '')
    for (const folder of ['link', 'link/x', 'dangling', 'file', 'file/x']) {
      expect([folder, await bed.code({ url: url(), folder })]).toEqual([folder, 'BAD_FOLDER'])
    }
    await expect(lstat(outside)).rejects.toThrow('ENOENT')
    expect(await readdir(join(bed.root, 'real'))).toEqual([])
  })

  test.each([
    '/etc',
    '..',
    '../x',
    'a/../b',
    './a',
    'a//b',
    'a\\b',
    'C:/x',
    'con',
    'a/nul/b',
    'a\0',
    'x.part',
    ' a',
    'a.',
  ])('refuses the folder %j', async (folder) => {
    const refused = await bed.code({ url: url(), folder })
    expect(refused).toBe('BAD_FOLDER')
  })

  test('refuses a folder that is too deep, and takes both spellings of a letter for one', () => {
    const code = (folder: string) => {
      try {
        return checkedFolder(folder)
      } catch (error) {
        return codeOf(error)
      }
    }
    expect(code('x/'.repeat(17))).toBe('BAD_FOLDER')
    expect(code('cafe\u0301/a')).toEqual(['caf\u00e9', 'a'])
    expect(code('')).toEqual([])
  })

  test('fills a name with fields, also when a later attempt goes on', async () => {
    const day = new Date().toISOString().slice(0, 10)
    const { file } = await bed.run({ url: url(), file: '{name}-{host}.{ext}', folder: 'named' })
    expect(file).toBe('named/film-127.0.0.1.mkv')
    expect((await bed.run({ url: url(), file: '{date}.{ext}' })).file.slice(0, 8)).toBe(day.slice(0, 8))
    expect(await bed.code({ url: url(), file: '{nmae}.mkv' })).toBe('BAD_FILENAME')
    const task = { id: 'b'.repeat(24), attempts: 0, saved: undefined }
    const slow = { url: `${url()}?rate=64KB&drop=20KB`, file: '{id}.{ext}', folder: 'named' }
    await expect(bed.run(slow, {}, task)).resolves.toMatchObject({ file: `named/${'b'.repeat(24)}.mkv`, bytes: 65_536 })
  })
})
