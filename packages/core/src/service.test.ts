import { describe, expect, test } from 'vitest'
import { Service } from './service.ts'

/** Records its actions. Its start waits until the test lets it continue or fail. */
class Noting extends Service {
  readonly notes: string[] = []
  letGo!: () => void
  failure: Error | undefined
  waits = false

  protected override async onStart(): Promise<void> {
    this.notes.push('first')
    this.defer(() => this.notes.push('first ends'))
    if (this.waits) await new Promise<void>((resolve) => (this.letGo = resolve))
    if (this.failure !== undefined) throw this.failure
    this.notes.push('second')
    this.defer(async () => this.notes.push('second ends'))
  }

  get runs(): boolean {
    return this.isRunning
  }
}

const ALL = ['first', 'second', 'second ends', 'first ends']

describe('a service', () => {
  test('starts once, no matter how often it is called, and ends its parts in reverse order', async () => {
    const service = new Noting()
    await Promise.all([service.start(), service.start()])
    await service.start()
    expect(service.runs).toBe(true)
    await Promise.all([service.stop(), service.stop()])
    await service.stop()
    expect(service.runs).toBe(false)
    expect(service.notes).toEqual(ALL)
  })

  test('that is stopped before its start does nothing, and can still start', async () => {
    const service = new Noting()
    await service.stop()
    await service.start()
    expect(service.notes).toEqual(['first', 'second'])
  })

  test('that is stopped during its start ends when that is done', async () => {
    const service = new Noting()
    service.waits = true
    const started = service.start()
    const stopped = service.stop()
    expect(service.runs).toBe(false)
    service.letGo()
    await Promise.all([started, stopped])
    expect(service.notes).toEqual(ALL)
  })

  test('whose start fails ends its started parts, and may start again', async () => {
    const service = new Noting()
    service.failure = new Error('no')
    const [one, two] = [service.start(), service.start()]
    await expect(one).rejects.toThrow('no')
    await expect(two).rejects.toThrow('no')
    expect(service.notes).toEqual(['first', 'first ends'])
    expect(service.runs).toBe(false)
    await service.stop()
    service.failure = undefined
    await service.start()
    await service.stop()
    expect(service.notes).toEqual(['first', 'first ends', ...ALL])
  })

  test('that is stopped while a start that fails is under way has ended as well', async () => {
    const service = new Noting()
    service.waits = true
    service.failure = new Error('no')
    const started = service.start()
    const stopped = service.stop()
    service.letGo()
    await expect(started).rejects.toThrow('no')
    await stopped
    expect(service.notes).toEqual(['first', 'first ends'])
  })

  test('starts again after it has stopped, also while it stops', async () => {
    const service = new Noting()
    await service.start()
    const stopped = service.stop()
    const again = service.start()
    await Promise.all([stopped, again])
    expect(service.notes).toEqual([...ALL, 'first', 'second'])
    expect(service.runs).toBe(true)
  })

  test('ends its other parts when one of them fails to', async () => {
    class Failing extends Noting {
      protected override async onStart(): Promise<void> {
        await super.onStart()
        this.defer(() => {
          throw new Error('does not end')
        })
      }
    }
    const service = new Failing()
    await service.start()
    await expect(service.stop()).rejects.toThrow('does not end')
    expect(service.notes).toEqual(ALL)
  })

  test('starts and stops the services that it uses', async () => {
    const part = new Noting()
    class Whole extends Service {
      protected override async onStart(): Promise<void> {
        expect(await this.use(part)).toBe(part)
      }
    }
    const whole = new Whole()
    await whole.start()
    expect(part.runs).toBe(true)
    await whole.stop()
    expect(part.notes).toEqual(ALL)
    part.failure = new Error('no')
    await expect(whole.start()).rejects.toThrow('no')
    expect(part.runs).toBe(false)
  })
})
