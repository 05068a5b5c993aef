import type { HeldSocket } from './held-socket.ts'

/** Where a body goes: `false` asks for a pause, which `onDrain` ends. */
export interface Sink {
  /** Takes in a chunk, which is good for this call only. */
  write(chunk: Buffer): boolean
  /** For a body that can be received without a copy: `filled` takes in what was received in `space`. Without space, no more is wanted. */
  direct?: { space(): Uint8Array | undefined; filled(count: number): boolean }
  onDrain: () => void
}

export interface BodyFlowOptions {
  stallMs: number
  /** The server has sent nothing for too long, while it could. */
  onStall(): void
  /** How long to wait after so many bytes, in milliseconds. */
  pace?: ((bytes: number) => number) | undefined
}

/** Leads a body into a sink that may come late and may ask for pauses, and watches that it flows. */
export class BodyFlow {
  readonly #options: BodyFlowOptions
  /** What came with the head; no more than the socket gave at once. */
  readonly #early: Buffer[] = []
  #socket: HeldSocket | undefined
  #sink: Sink | undefined
  #stall: NodeJS.Timeout | undefined
  /** Until its rate allows more. */
  #pause: NodeJS.Timeout | undefined
  /** Whether the sink has asked for a pause. */
  #full = false
  #ended = false

  constructor(options: BodyFlowOptions) {
    this.#options = options
  }

  /** The head is here; until somebody wants the body, nothing more is read. */
  begin(socket: HeldSocket | undefined): void {
    this.#socket = socket
    socket?.hold()
  }

  /** @throws what the sink throws */
  to(sink: Sink): void {
    this.#sink = sink
    sink.onDrain = () => {
      this.#full = false
      this.#flow()
    }
    for (const chunk of this.#early.splice(0)) this.#full = !sink.write(chunk)
    this.#flow()
  }

  /** @returns false when the socket is held. @throws what the sink throws */
  take(chunk: Buffer): boolean {
    this.#stall?.refresh()
    if (this.#sink !== undefined) return this.#goesOn(this.#sink.write(chunk), chunk.length)
    this.#early.push(chunk)
    return true
  }

  /** Takes in what was received in the sink's own space. @returns false when the socket is held. @throws what the sink throws */
  filled(count: number): boolean {
    this.#stall?.refresh()
    return this.#goesOn(this.#sink?.direct?.filled(count) ?? false, count)
  }

  end(): void {
    this.#ended = true
    clearTimeout(this.#stall)
    clearTimeout(this.#pause)
  }

  #flow(): void {
    if (this.#ended || this.#full || this.#pause !== undefined) return
    clearTimeout(this.#stall)
    this.#stall = setTimeout(() => this.#options.onStall(), this.#options.stallMs)
    this.#socket?.release()
  }

  /** A server that is kept waiting does not stall. */
  #goesOn(flowing: boolean, bytes: number): boolean {
    this.#full = !flowing
    const waitMs = this.#options.pace?.(bytes) ?? 0
    if (waitMs >= 1 && !this.#ended) this.#waitFor(waitMs)
    if (flowing && this.#pause === undefined) return true
    clearTimeout(this.#stall)
    this.#stall = undefined
    this.#socket?.hold()
    return false
  }

  #waitFor(ms: number): void {
    clearTimeout(this.#pause)
    this.#pause = setTimeout(() => {
      this.#pause = undefined
      this.#flow()
    }, ms)
  }
}
