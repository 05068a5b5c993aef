const CONDITION = '--conditions=taskfleet-source'

/** Flags whose value is the next argument. */
const WITH_VALUE = [
  ...['-C', '-r', '--conditions', '--require', '--import', '--loader', '--experimental-loader'],
  ...['--env-file', '--env-file-if-exists'],
]
/** The debugger's port is taken. A script on the command line, and files with variables, are not for the isolate. */
const NOT_INHERITED =
  /^(--inspect|--debug|--max-old-space-size|--eval|--print|--input-type|--test|--watch|--env-file|-e$|-p$|-pe$)/
const SCRIPT = /^(--eval|--print|-e|-p|-pe)$/
/** The flags that Node accepts for a thread. Most flags are for the whole process. */
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

/** The flags of a handler's process: those of this process, without those that make no sense twice. */
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
 * The flags of a handler's thread. tsx is left out: a thread that starts with it sometimes hangs at its end, and the isolate registers
 * it itself where it is needed.
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
