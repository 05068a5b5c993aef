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
}

/** Leads a body into a sink that may come late and may ask for pauses, and watches that it flows. */
export class BodyFlow {
  readonly #options: BodyFlowOptions
  /** What came with the head; no more than the socket gave at once. */
  readonly #early: Buffer[] = []
  #socket: HeldSocket | undefined
  #sink: Sink | undefined
  #stall: NodeJS.Timeout | undefined
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
    sink.onDrain = () => this.#flow()
    let flows = true
    for (const chunk of this.#early.splice(0)) flows = sink.write(chunk)
    if (flows) this.#flow()
  }

  /** @returns false when the socket is held. @throws what the sink throws */
  take(chunk: Buffer): boolean {
    this.#stall?.refresh()
    if (this.#sink !== undefined) return this.#goesOn(this.#sink.write(chunk))
    this.#early.push(chunk)
    return true
  }

  /** Takes in what was received in the sink's own space. @returns false when the socket is held. @throws what the sink throws */
  filled(count: number): boolean {
    this.#stall?.refresh()
    return this.#goesOn(this.#sink?.direct?.filled(count) ?? false)
  }

  end(): void {
    this.#ended = true
    clearTimeout(this.#stall)
  }

  #flow(): void {
    if (this.#ended) return
    clearTimeout(this.#stall)
    this.#stall = setTimeout(() => this.#options.onStall(), this.#options.stallMs)
    this.#socket?.release()
  }

  /** A server that is kept waiting does not stall. */
  #goesOn(flowing: boolean): boolean {
    if (flowing) return true
    clearTimeout(this.#stall)
    this.#stall = undefined
    this.#socket?.hold()
    return false
  }
}
