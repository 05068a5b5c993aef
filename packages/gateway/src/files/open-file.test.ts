import { link, mkdir, mkdtemp, realpath, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openFile } from './open-file.ts'

let above: string
let root: string
beforeAll(async () => {
  above = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-files-')))
  root = join(above, 'root')
  await mkdir(join(root, 'a'), { recursive: true })
  await writeFile(join(above, 'secret'), 'secret')
  await writeFile(join(root, 'a', 'b.txt'), 'hello')
  await symlink(join(above, 'secret'), join(root, 'link'))
  await symlink(above, join(root, 'up'))
  await symlink(join(root, 'a'), join(root, 'inside'))
  await symlink(root, join(above, 'linked-root'))
})
afterAll(() => rm(above, { recursive: true }))

const opened = async (path: string, over: { root?: string; size?: number } = {}): Promise<string> => {
  try {
    const { handle, size, name } = await openFile({ root, path, size: undefined, shared: false, ...over })
    await handle.close()
    return `${name} ${size}`
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe("a task's file", () => {
  test('is opened below its root', async () => {
    expect(await opened('a/b.txt')).toBe('b.txt 5')
    expect(await opened('a/b.txt', { size: 5 })).toBe('b.txt 5')
    expect(await opened('a/b.txt', { root: join(above, 'linked-root') })).toBe('b.txt 5')
  })

  test.each([
    '',
    '.',
    '..',
    'a',
    '../secret',
    'a/../../secret',
    'a/../a/b.txt',
    'a//b.txt',
    '/etc/passwd',
    'a\\..\\..\\secret',
    'a/b.txt\0',
    'link',
    'up/secret',
    'inside/b.txt',
    'nothing',
    'a/b.txt/c',
    'x'.repeat(5_000),
  ])('is not at %j', async (path) => {
    expect(await opened(path)).toBe('NO_FILE')
  })

  test('is not sent if another one has its name, or its root is gone', async () => {
    expect(await opened('a/b.txt', { size: 6 })).toBe('NO_FILE')
    expect(await opened('b.txt', { root: join(above, 'gone') })).toBe('NO_FILE')
  })

  test('has another ETag after each change', async () => {
    const tags = new Set<string>()
    const path = join(root, 'tagged')
    const tag = async () => {
      const { handle, etag } = await openFile({ root, path: 'tagged', size: undefined, shared: false })
      await handle.close()
      tags.add(etag)
    }
    await writeFile(path, 'one')
    await utimes(path, 1, 1)
    await tag()
    await tag()
    await link(path, join(root, 'other'))
    await tag()
    expect(tags.size).toBe(1)
    await utimes(path, 1, 1.5)
    await tag()
    await writeFile(path, 'more')
    await tag()
    expect(tags.size).toBe(3)
    for (const one of tags) expect(one).toMatch(/^"[\w-]+"$/)
  })
})
