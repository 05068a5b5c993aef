import { expect, test } from 'vitest'
import { FolderSpace } from './folder-space.ts'

const failure = (code: string): Error => Object.assign(new Error(code), { code })

test('a folder that does not exist yet has the space of the nearest one around it', async () => {
  const asked: string[] = []
  const space = new FolderSpace(['/srv/downloads/2026/may'], async (folder) => {
    asked.push(folder)
    if (folder !== '/srv') throw failure('ENOENT')
    return 7e9
  })
  expect(await space.read()).toEqual(new Map([['/srv/downloads/2026/may', 7e9]]))
  expect(asked).toEqual(['/srv/downloads/2026/may', '/srv/downloads/2026', '/srv/downloads', '/srv'])
})

test('a relative folder ends at the current one', async () => {
  const space = new FolderSpace(['out/files'], async (folder) => {
    if (folder !== '.') throw failure('ENOENT')
    return 5
  })
  expect(await space.read()).toEqual(new Map([['out/files', 5]]))
})

test('a folder that may not be read has no figure, and an empty list works', async () => {
  const space = new FolderSpace(['/secret', '/gone'], async (folder) => {
    throw failure(folder === '/secret' ? 'EACCES' : 'ENOENT')
  })
  expect(await space.read()).toEqual(new Map())
})

test('one that hangs is read once, keeps its last figure and does not delay the others', async () => {
  let asked = 0
  let reads = 0
  const space = new FolderSpace(['/nfs', '/local'], (folder) => {
    if (folder === '/local') return Promise.resolve(++reads)
    asked += 1
    return asked === 1 ? Promise.resolve(100) : new Promise(() => {})
  })
  await space.read()
  await space.read()
  expect(await space.read()).toEqual(
    new Map([
      ['/nfs', 100],
      ['/local', 3],
    ]),
  )
  expect(asked).toBe(2)
})
