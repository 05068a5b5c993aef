import type { KeyEdit, KeyRequest, KeyRow, Scope } from '@taskfleet/protocol'
import type { Errors } from './checks.ts'
import { localTime } from './format.ts'

/** What each scope lets a key do. A new one does not compile until it has an entry. */
export const SCOPES: Record<Scope, string> = {
  read: 'see tasks, hosts and events',
  write: 'enqueue tasks and send events',
  control: 'cancel, pause, retry, drain',
  worker: 'be a worker',
  admin: 'everything, keys included',
}

/** What the form for a key holds, all as it was typed. */
export interface KeyForm {
  name: string
  scopes: readonly Scope[]
  /** Separated by commas or line ends; all when empty. */
  queues: string
  names: string
  /** As `<input type="datetime-local">` has it; never when empty. */
  expiresAt: string
}

const NEW_KEY: KeyForm = { name: '', scopes: ['read'], queues: '', names: '', expiresAt: '' }
/** With the first key the fleet is locked: it had better open everything. */
const FIRST_KEY: KeyForm = { ...NEW_KEY, scopes: ['read', 'write', 'control', 'admin'] }

/** The form as it is for a new key, for a fleet's first, or for one that is to be changed. */
export function keyForm(key: KeyRow | 'new' | 'first'): KeyForm {
  if (key === 'new') return NEW_KEY
  if (key === 'first') return FIRST_KEY
  const { name, scopes, queues = [], names = [], expiresAt } = key
  return {
    name,
    scopes,
    queues: queues.join(', '),
    names: names.join(', '),
    expiresAt: expiresAt === undefined ? '' : localTime(expiresAt),
  }
}

/**
 * @param key which form it is
 * @param now the server's time in milliseconds
 */
export function keyErrors(form: KeyForm, key: KeyRow | 'new' | 'first', now: number): Errors<KeyForm> {
  const errors: Errors<KeyForm> = {}
  const name = form.name.trim()
  if (name === '' || name.length > 100) errors.name = 'A text of 1 to 100 characters.'
  if (form.scopes.length === 0) errors.scopes = 'What may it do?'
  else if (key === 'first' && !form.scopes.includes('admin')) {
    errors.scopes = 'The first key locks the fleet: without admin nobody could make another from here.'
  }
  if (key === 'first') {
    const only = 'The first key locks the fleet: a limited one could not make another.'
    if (listOf(form.queues).length > 0) errors.queues = only
    if (listOf(form.names).length > 0) errors.names = only
  }
  const before = typeof key === 'string' ? '' : keyForm(key).expiresAt
  if (form.expiresAt !== '' && form.expiresAt !== before) {
    const at = new Date(form.expiresAt).getTime()
    if (Number.isNaN(at)) errors.expiresAt = 'Not a date and time.'
    else if (at <= now) errors.expiresAt = 'That is past: to end a key at once, revoke it.'
  }
  return errors
}

/** The key that a form without errors means. */
export function keyRequest(form: KeyForm): KeyRequest {
  const queues = listOf(form.queues)
  const names = listOf(form.names)
  return {
    name: form.name.trim(),
    scopes: form.scopes,
    ...(queues.length > 0 && { queues }),
    ...(names.length > 0 && { names }),
    ...(form.expiresAt !== '' && { expiresAt: new Date(form.expiresAt).toISOString() }),
  }
}

/** What a form without errors changes of a key; nothing of what was left as it is. */
export function keyChanges(form: KeyForm, key: KeyRow): KeyEdit {
  const before = keyForm(key)
  const wanted = keyRequest(form)
  const same = (one: readonly string[] = [], other: readonly string[] = []) =>
    JSON.stringify([...one].sort()) === JSON.stringify([...other].sort())
  return {
    ...(wanted.name !== key.name && { name: wanted.name }),
    ...(!same(wanted.scopes, key.scopes) && { scopes: wanted.scopes }),
    ...(!same(wanted.queues, key.queues) && { queues: wanted.queues ?? null }),
    ...(!same(wanted.names, key.names) && { names: wanted.names ?? null }),
    ...(form.expiresAt !== before.expiresAt && { expiresAt: wanted.expiresAt ?? null }),
  }
}

const listOf = (text: string): string[] => [
  ...new Set(
    text
      .split(/[,\n]/)
      .map((part) => part.trim())
      .filter((part) => part !== ''),
  ),
]
