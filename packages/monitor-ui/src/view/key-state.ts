import type { KeyRow, KeyState } from '@taskfleet/protocol'
import { Ban, CalendarClock, CircleCheck, CircleX } from 'lucide-react'
import type { Look } from './status.ts'

/** The gateway's state of a key, and whether it expires soon. */
export type KeyView = KeyState | 'expiring'

const SOON_MS = 7 * 86_400_000

/** @param now the server's time in milliseconds */
export function keyView({ state, expiresAt }: KeyRow, now: number): KeyView {
  if (state !== 'good' || expiresAt === undefined) return state
  const left = Date.parse(expiresAt) - now
  // It may expire between two answers.
  if (left <= 0) return 'expired'
  return left < SOON_MS ? 'expiring' : 'good'
}

/** The look of each state. A new one does not compile until it has an entry. */
export const KEY_LOOK: Record<KeyView, Look> = {
  good: { icon: CircleCheck, label: 'Good', tone: 'text-done' },
  expiring: { icon: CalendarClock, label: 'Expires soon', tone: 'text-warn' },
  expired: { icon: CircleX, label: 'Expired', tone: 'text-dim' },
  revoked: { icon: Ban, label: 'Revoked', tone: 'text-dim' },
}

/** Valid keys first, the newest of them first. */
export function byUse(keys: readonly KeyRow[]): KeyRow[] {
  const rank = ({ state }: KeyRow): number => ['good', 'expired', 'revoked'].indexOf(state)
  return keys.toSorted((a, b) => rank(a) - rank(b) || (a.createdAt < b.createdAt ? 1 : -1))
}
