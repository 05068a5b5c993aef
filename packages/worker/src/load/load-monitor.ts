import { LoadMeter, Service, WatchLoop } from '@taskfleet/core/internal'
import type { WorkerRow } from '@taskfleet/protocol'
import { wholeNumber } from '@taskfleet/protocol/internal'
import type { Logger } from 'pino'
import { AutoSlots, type SlotRange } from './auto-slots.ts'
import { diskReport } from './disk-report.ts'
import type { DiskSpace } from './folder-space.ts'
import { HostLoad, type HostReading } from './host-load.ts'
import { type DiskNeed, type GateState, type GateTask, LoadGate } from './load-gate.ts'
import { fullThresholds, type LoadThresholds } from './thresholds.ts'

export interface LoadMonitorOptions {
  thresholds?: LoadThresholds
  /** The disk space that handlers need. */
  folders?: readonly DiskNeed[]
  /** A fixed number of slots, `auto`, or `auto` within a range. */
  concurrency: number | 'auto' | SlotRange
  /** How many tasks run now; automatic slots grow only while all are busy. */
  running: () => number
  /** Called after a sample that has changed the gate or the slots. */
  onChange?: (state: LoadState) => void
  /** How often samples are taken, in milliseconds; 1000 by default and at least. */
  everyMs?: number
  log?: Pick<Logger, 'warn'>
  /** The source of the figures; this machine by default. */
  probe?: {
    host: { read(): Promise<HostReading> }
    meter: Pick<LoadMeter, 'read' | 'start' | 'stop'>
  }
}

interface LoadState {
  gate: GateState
  slots: number
}

/** The part of a worker's heartbeat about its load. */
export interface LoadReport {
  load: WorkerRow['load']
  /** Whether any task may start, whether lazy ones may, and why not. With both true, a reason is about a handler's folder. */
  gate: { open: boolean; lazy: boolean; reason?: string }
  slots: number
  /** Absent if no handler needs a folder. */
  disks?: NonNullable<WorkerRow['disks']>
}

/** Takes samples of the machine, and decides which tasks may start and how many may run at once. */
export class LoadMonitor extends Service {
  readonly #gate: LoadGate
  readonly #auto: AutoSlots | undefined
  readonly #fixed: number
  readonly #host: { read(): Promise<HostReading> }
  readonly #meter: Pick<LoadMeter, 'read' | 'start' | 'stop'>
  readonly #options: LoadMonitorOptions
  readonly #loop: WatchLoop
  #load: WorkerRow['load'] | undefined
  /** As they are reported. */
  #disks: WorkerRow['disks'] | undefined
  /** The longest delay of all samples since the last report. */
  #worstDelayMs = 0
  #sampling: Promise<void> | undefined

  /** @throws {FleetError} `CONFIG_RANGE` with its `field`; `BAD_SIZE` */
  constructor(options: LoadMonitorOptions) {
    super()
    const { thresholds = {}, folders = [], concurrency, everyMs = 1_000, probe, log } = options
    this.#options = options
    this.#loop = new WatchLoop({
      look: () => this.sample(),
      everyMs: wholeNumber(everyMs, 'everyMs', { least: 1_000, most: 60_000, code: 'CONFIG_RANGE' }),
      log,
      failed: 'a sample of the load failed',
    })
    this.#gate = new LoadGate(thresholds, folders)
    const range = concurrency === 'auto' ? {} : concurrency
    if (typeof range === 'object' && range !== null) {
      this.#auto = new AutoSlots({ ...range, thresholds: fullThresholds(thresholds) })
      this.#fixed = 0
    } else {
      this.#fixed = wholeNumber(range, 'concurrency', { least: 1, most: 1_000, code: 'CONFIG_RANGE' })
    }
    this.#host = probe?.host ?? new HostLoad(folders.map(({ folder }) => folder))
    this.#meter = probe?.meter ?? new LoadMeter()
  }

  /** Starts with a sample, so that no task begins if disk or memory are already full. */
  protected override async onStart(): Promise<void> {
    await this.use(this.#meter)
    await this.use(this.#loop)
    await this.sample()
  }

  get gate(): GateState {
    return this.#gate.state
  }

  /** How many tasks may run at once; fewer than run now means that nothing starts until some have ended. */
  get slots(): number {
    return this.#auto?.slots ?? this.#fixed
  }

  /** The load at the last sample. */
  get load(): WorkerRow['load'] {
    this.#load ??= this.#meter.read()
    return this.#load
  }

  /** Whether such a task may start now. */
  allows(task: GateTask): boolean {
    return this.#gate.allows(task)
  }

  /** For a heartbeat: figures of the last sample, and the worst event-loop delay since the last report. */
  report(): LoadReport {
    const { load } = this
    const eventLoopDelayMs = Math.max(load.eventLoopDelayMs, this.#worstDelayMs)
    this.#worstDelayMs = 0
    const { all, lazy, reason } = this.gate
    return {
      load: { ...load, eventLoopDelayMs },
      gate: { open: all, lazy, ...(reason === undefined ? {} : { reason }) },
      slots: this.slots,
      ...(this.#disks === undefined ? {} : { disks: this.#disks }),
    }
  }

  /** Takes a sample now, or joins one that is under way. */
  sample(): Promise<void> {
    this.#sampling ??= this.#sample().finally(() => {
      this.#sampling = undefined
    })
    return this.#sampling
  }

  async #sample(): Promise<void> {
    const host = await this.#host.read()
    const load = this.#meter.read()
    this.#load = {
      ...load,
      ...(host.cpu === undefined ? {} : { hostCpu: rounded(host.cpu) }),
      ...(host.memory === undefined ? {} : { memoryLeft: rounded(host.memory.left) }),
    }
    this.#worstDelayMs = Math.max(this.#worstDelayMs, load.eventLoopDelayMs)
    const before = this.#outline()
    const { disks = new Map<string, DiskSpace>() } = host
    this.#disks = diskReport(this.#disks, disks)
    const free = new Map([...disks].map(([folder, space]) => [folder, space.free]))
    const reading = { ...host, disks: free, eventLoopDelayMs: load.eventLoopDelayMs }
    this.#gate.update(reading, performance.now())
    this.#auto?.update({ ...reading, rss: load.rss }, this.#options.running())
    if (this.#outline() !== before) this.#options.onChange?.({ gate: this.gate, slots: this.slots })
  }

  /** The state that `onChange` reports: the reasons why tasks wait, without figures, and the slots. */
  #outline(): string {
    const reasons = this.gate.reasons.map(({ measure, blocks, folder }) => [measure, blocks, folder])
    return JSON.stringify([this.slots, reasons])
  }
}

const rounded = (part: number): number => Number(part.toFixed(3))
