import { describe, expect, it } from 'vitest'
import { forgetKey, keepKey, takeKey } from './kept-key.ts'

function storage(kept: Record<string, string>) {
  const store = new Map(Object.entries(kept))
  return {
    store,
    getItem: (key: string) => store.get(key) ?? null,
    setItem: (key: string, value: string) => void store.set(key, value),
    removeItem: (key: string) => void store.delete(key),
  }
}

function page(hash: string, kept: Record<string, string> = {}, old: Record<string, string> = {}) {
  const addresses: string[] = []
  return {
    addresses,
    location: { hash, pathname: '/tasks', search: '?status=running' },
    history: {
      state: null,
      replaceState: (_: unknown, __: string, address?: string | URL | null) => void addresses.push(String(address)),
    },
    sessionStorage: storage(kept),
    localStorage: storage(old),
  }
}

describe('takeKey', () => {
  it('takes the key out of the address at once and keeps it for this tab alone', () => {
    const here = page('#token=tf_abc')
    expect(takeKey(here)).toBe('tf_abc')
    expect(here.addresses).toEqual(['/tasks?status=running'])
    expect(takeKey({ ...here, location: { ...here.location, hash: '' } })).toBe('tf_abc')
    expect(here.localStorage.store.size).toBe(0)
  })

  it('uses the kept one where the address has none', () => {
    expect(takeKey(page('', { 'taskfleet.key': 'tf_old' }))).toBe('tf_old')
    expect(takeKey(page(''))).toBeUndefined()
  })

  it('lets the address win over the kept one', () => {
    expect(takeKey(page('#token=tf_new', { 'taskfleet.key': 'tf_old' }))).toBe('tf_new')
  })

  it('moves the key that an earlier version kept for every tab, and leaves nothing there', () => {
    const here = page('', {}, { 'taskfleet.token': 'tf_old' })
    expect(takeKey(here)).toBe('tf_old')
    expect(here.localStorage.store.size).toBe(0)
  })

  it('is requested again after it was dropped', () => {
    const here = page('')
    keepKey(here, 'tf_abc')
    forgetKey(here)
    expect(takeKey(here)).toBeUndefined()
  })

  it('works where storage is refused', () => {
    const refuse = () => {
      throw new Error('denied')
    }
    const refusing = { getItem: refuse, setItem: refuse, removeItem: refuse }
    const here = { ...page('#token=tf_abc'), sessionStorage: refusing, localStorage: refusing }
    expect(takeKey(here)).toBe('tf_abc')
    expect(() => forgetKey(here)).not.toThrow()
  })
})
