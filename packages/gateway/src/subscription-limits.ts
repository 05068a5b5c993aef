/** A live query or statistics, or one task that is watched by its id. */
export type Kind = 'subscription' | 'watch'

interface Limit {
  perSocket: number
  perKey: number
  code: string
  what: string
}

/**
 * The limits of subscriptions. A page opens few subscriptions, which may have a thousand rows each. It watches as many tasks
 * as it shows progress bars, with one row each.
 */
export const LIMITS: Record<Kind, Limit> = {
  subscription: { perSocket: 20, perKey: 2_000, code: 'TOO_MANY_SUBSCRIPTIONS', what: 'subscriptions' },
  watch: { perSocket: 200, perKey: 10_000, code: 'TOO_MANY_WATCHES', what: 'watched tasks' },
}
