import { describe, expect, it } from 'vitest'
import { keepToken, takeToken } from './session.ts'

function page(hash: string, kept: Record<string, string> = {}) {
  const store = new Map(Object.entries(kept))
  const addresses: string[] = []
  return {
    addresses,
    store,
    location: { hash, pathname: '/tasks', search: '?status=running' },
    history: {
      state: null,
      replaceState: (_: unknown, __: string, address?: string | URL | null) => void addresses.push(String(address)),
    },
    localStorage: {
      getItem: (key: string) => store.get(key) ?? null,
      setItem: (key: string, value: string) => void store.set(key, value),
      removeItem: (key: string) => void store.delete(key),
    },
  }
}

describe('takeToken', () => {
  it('takes the token out of the address at once and keeps it', () => {
    const here = page('#token=tf_abc')
    expect(takeToken(here)).toBe('tf_abc')
    expect(here.addresses).toEqual(['/tasks?status=running'])
    expect(takeToken({ ...here, location: { ...here.location, hash: '' } })).toBe('tf_abc')
  })

  it('uses the kept one where the address has none', () => {
    expect(takeToken(page('', { 'taskfleet.token': 'tf_old' }))).toBe('tf_old')
    expect(takeToken(page(''))).toBeUndefined()
  })

  it('lets the address win over the kept one', () => {
    expect(takeToken(page('#token=tf_new', { 'taskfleet.token': 'tf_old' }))).toBe('tf_new')
  })

  it('works where storage is refused', () => {
    const refuse = () => {
      throw new Error('denied')
    }
    const localStorage = { getItem: refuse, setItem: refuse, removeItem: refuse }
    expect(takeToken({ ...page('#token=tf_abc'), localStorage })).toBe('tf_abc')
    expect(() => keepToken({ localStorage }, 'tf')).not.toThrow()
  })
})
