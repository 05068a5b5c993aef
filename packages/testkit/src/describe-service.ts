import type { Service } from '@taskfleet/core/internal'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

export interface ServiceHarness {
  service: Pick<Service, 'start' | 'stop'>
  /** How many parts of it run, such as timers, subscriptions and connections. */
  running(): number | Promise<number>
  /** Makes the next start fail. Absent if no start of this service can fail. */
  breakStart?(): void
  close?(): Promise<unknown>
}

/** The conformance suite of everything that starts and stops. */
export function describeService(name: string, open: () => ServiceHarness | Promise<ServiceHarness>): void {
  describe(`${name} is a service`, () => {
    let harness: ServiceHarness
    let atRest: number
    beforeEach(async () => {
      harness = await open()
      atRest = await harness.running()
    })
    afterEach(async () => {
      await harness.service.stop()
      await harness.close?.()
    })

    test('a stop before the start does nothing', async () => {
      await harness.service.stop()
      expect(await harness.running()).toBe(atRest)
      await harness.service.start()
    })

    test('two starts are one, and one stop ends both; a second stop does nothing', async () => {
      const { service, running } = harness
      await Promise.all([service.start(), service.start()])
      expect(await running()).toBeGreaterThan(atRest)
      await Promise.all([service.stop(), service.stop()])
      expect(await running()).toBe(atRest)
      await service.stop()
      expect(await running()).toBe(atRest)
    })

    test('a stop during the start leaves nothing running', async () => {
      const { service, running } = harness
      const started = service.start()
      await service.stop()
      expect(await running()).toBe(atRest)
      await started
      expect(await running()).toBe(atRest)
    })

    test('a start that fails leaves nothing running', async ({ skip }) => {
      const { service, running, breakStart } = harness
      if (breakStart === undefined) return skip('no start of it can fail')
      breakStart()
      await expect(service.start()).rejects.toThrow()
      expect(await running()).toBe(atRest)
      await service.stop()
      expect(await running()).toBe(atRest)
    })
  })
}
