import { type TaskMeta, TestRunner } from 'vitest'

declare module 'vitest' {
  interface TaskMeta {
    /** How many faults of each kind the test has injected. */
    faults?: Record<string, number>
  }
}

/**
 * Records that the running test injects a fault. `test:faults` prints their number, and fails if there are too few.
 *
 * @param kind what breaks: `worker killed`, `reply lost`
 */
export function countFault(kind: string, times = 1): void {
  const meta: TaskMeta | undefined = TestRunner.getCurrentTest()?.meta
  if (meta === undefined) return
  meta.faults ??= {}
  meta.faults[kind] = (meta.faults[kind] ?? 0) + times
}
