import { isAbsolute } from 'node:path'
import { pathToFileURL } from 'node:url'
import { FleetError } from '@taskfleet/protocol'

export type IsolateKind = 'thread' | 'process'

/** Where a handler runs when not in the worker's own thread. */
export interface Isolation {
  kind: IsolateKind
  /** The most heap, in megabytes; an attempt that needs more fails with `HANDLER_CRASHED`. V8's own limit by default. */
  memoryMb: number | undefined
}

/** As users write it. */
export type IsolateOption = IsolateKind | { kind: IsolateKind; memoryMb?: number }

/** The least memory with which an empty isolate starts. */
const LEAST_MEMORY_MB = 32

/** @throws {FleetError} `BAD_DEFINITION` */
export function isolationOf(name: string, option: IsolateOption | undefined): Isolation | undefined {
  if (option === undefined) return undefined
  const { kind, memoryMb } = typeof option === 'string' ? { kind: option } : option
  if (kind !== 'thread' && kind !== 'process') {
    throw new FleetError('BAD_DEFINITION', `${name}: 'isolate' is 'thread' or 'process', not '${String(kind)}'`)
  }
  if (memoryMb !== undefined && !(Number.isInteger(memoryMb) && memoryMb >= LEAST_MEMORY_MB)) {
    throw new FleetError('BAD_DEFINITION', `${name}: 'memoryMb' is a whole number of at least ${LEAST_MEMORY_MB}`)
  }
  return { kind, memoryMb }
}

/**
 * A module as an address that every thread and process can load.
 *
 * @throws {FleetError} `BAD_DEFINITION` for a relative path, which means something else in each file
 */
export function moduleUrl(name: string, module: string | undefined): string | undefined {
  if (module === undefined || module.startsWith('file:')) return module
  if (isAbsolute(module)) return pathToFileURL(module).href
  throw new FleetError('BAD_DEFINITION', `${name}: 'module' is not absolute: write module: import.meta.url`)
}

/** The part of a `TaskFactory` that an isolate needs. */
export interface Isolated {
  name: string
  isolate: Isolation | undefined
  module: string | undefined
}

/**
 * The isolation of a handler and the module to load. A runner calls it at its start.
 *
 * @throws {FleetError} `BAD_DEFINITION` without a module
 */
export function requireIsolation({ name, isolate, module }: Isolated): Isolation & { module: string } {
  if (isolate === undefined) throw new FleetError('BAD_DEFINITION', `${name}: 'isolate' is missing`)
  if (module === undefined) {
    throw new FleetError(
      'BAD_DEFINITION',
      `${name}: an isolate loads the module of its handler: add module: import.meta.url in the file that exports the task, or start the worker with --tasks FILE`,
    )
  }
  return { ...isolate, module }
}
