import type { Reporter, TestModule, TestSpecification, Vitest } from 'vitest/node'

/** How many faults the whole suite must inject at least. */
const LEAST = 60

/** Ends a run with the number of faults that its tests have injected; a whole suite that injects too few has failed. */
export default class FaultReporter implements Reporter {
  #vitest: Vitest | undefined
  #whole = false

  onInit(vitest: Vitest): void {
    this.#vitest = vitest
  }

  async onTestRunStart(chosen: readonly TestSpecification[]): Promise<void> {
    const all = (await this.#vitest?.globTestSpecifications()) ?? []
    this.#whole = chosen.length >= all.length && this.#vitest?.getGlobalTestNamePattern() === undefined
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const kinds = new Map<string, number>()
    for (const test of modules.flatMap(({ children }) => [...children.allTests('passed')])) {
      for (const [kind, times] of Object.entries(test.meta().faults ?? {})) {
        kinds.set(kind, (kinds.get(kind) ?? 0) + times)
      }
    }
    const total = [...kinds.values()].reduce((sum, times) => sum + times, 0)
    const each = [...kinds].sort(([, a], [, b]) => b - a).map(([kind, times]) => `${times} × ${kind}`)
    const told = each.length === 0 ? '' : ` (${each.join(', ')})`
    process.stdout.write(`\n${total} faults survived${told}\n`)
    if (!this.#whole || total >= LEAST) return
    process.stdout.write(`The whole suite must survive at least ${LEAST} faults.\n`)
    process.exitCode = 1
  }
}
