/** Run from the sources, an isolate must find the library there too, and read TypeScript. */
export const FROM_SOURCES = import.meta.url.endsWith('.ts')
const CONDITION = '--conditions=taskfleet-source'

/** Flags with their value in the next place. */
const WITH_VALUE = [
  ...['-C', '-r', '--conditions', '--require', '--import', '--loader', '--experimental-loader'],
  ...['--env-file', '--env-file-if-exists'],
]
/** A debugger's port is taken; a script given on the command line is not the isolate's, nor are variables that it must not have. */
const NOT_INHERITED =
  /^(--inspect|--debug|--max-old-space-size|--eval|--print|--input-type|--test|--watch|--env-file|-e$|-p$|-pe$)/
const SCRIPT = /^(--eval|--print|-e|-p|-pe)$/
/** What a thread may have of its own; most flags are for the process as a whole, and Node refuses them here. */
const FOR_THREADS = /^(-C|-r|--conditions|--require|--import|--enable-source-maps|--no-warnings)(=|$)/

/** The flags one by one, each with its value. */
function flags(execArgv: readonly string[]): string[][] {
  const found: string[][] = []
  for (let at = 0; at < execArgv.length; at += 1) {
    const flag = execArgv[at]!
    const value = WITH_VALUE.includes(flag) || SCRIPT.test(flag) ? execArgv[at + 1] : undefined
    if (value !== undefined) at += 1
    found.push(value === undefined ? [flag] : [flag, value])
  }
  return found
}

/** With which flags a handler's process starts: those of this one, as far as they make sense twice. */
export function processArguments(options: {
  memoryMb: number | undefined
  fromSources: boolean
  execArgv?: readonly string[]
}): string[] {
  const { memoryMb, fromSources, execArgv = process.execArgv } = options
  return [
    ...flags(execArgv)
      .filter(([flag]) => !NOT_INHERITED.test(flag!))
      .flat(),
    ...(fromSources ? [CONDITION] : []),
    ...(memoryMb === undefined ? [] : [`--max-old-space-size=${memoryMb}`]),
  ]
}

/**
 * With which flags a handler's thread starts. Without tsx as a loader: a thread that starts with it sometimes hangs at its
 * end, and the isolate registers it itself where it is needed.
 */
export function threadArguments(options: { fromSources: boolean; execArgv?: readonly string[] }): string[] {
  const { fromSources, execArgv = process.execArgv } = options
  return [
    ...flags(execArgv)
      .filter((flag) => FOR_THREADS.test(flag[0]!) && !flag.some((part) => /\btsx\b/.test(part)))
      .flat(),
    ...(fromSources ? [CONDITION] : []),
  ]
}
