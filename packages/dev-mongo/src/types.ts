/** The sources of a database, in the order in which they are tried. */
export const sourceNames = ['uri', 'mongod', 'secantusd-rs', 'memory-server', 'secantusdb'] as const
export type SourceName = (typeof sourceNames)[number]

export type StartMongoOptions = {
  /** The folder that keeps the data; without it a temporary one, removed by `stop()`. Each engine has its own folder inside. */
  dataDir?: string | undefined
  /** The port on 127.0.0.1; without it the one used last time with this `dataDir`, else a free one. */
  port?: number | undefined
  /** Called with a line for each step: which database was chosen, how to choose another, and what takes long. */
  log?: ((line: string) => void) | undefined
  /** Where `PATH`, `TASKFLEET_MONGO_URI`, `MONGOMS_*`, `XDG_CACHE_HOME` … are read; `process.env` unless given. */
  env?: NodeJS.ProcessEnv | undefined
  /** Write every commit to the disk before it is acknowledged (the stand-ins; a replica set of mongod does so by default). */
  syncOnCommit?: boolean | undefined
  /** Allow test commands such as `configureFailPoint`. */
  enableTestCommands?: boolean | undefined
  /** Forget change-stream history beyond this many entries (the stand-ins only; mongod counts in megabytes). */
  oplogMaxEntries?: number | undefined
  /** Try this source only. */
  prefer?: SourceName | undefined
}

export type RunningMongo = {
  /** Ready for `MongoClient` and mongoose; holds a password when it came from `TASKFLEET_MONGO_URI`. */
  readonly uri: string
  readonly source: SourceName
  /** Not MongoDB itself: for trying things out, not for production. */
  readonly standIn: boolean
  /**
   * The `TASKFLEET_SECRET` of fleets on this database. Kept in `secretFile` if there is a `dataDir`. Absent for `uri`.
   */
  readonly secret?: string | undefined
  readonly secretFile?: string | undefined
  /** The server's process, not its guard's; changes with `restart()`. Absent for `uri`. */
  readonly pid?: number | undefined
  /** Stops the server and removes temporary data; may be called twice. Never stops a database that came by `uri`. */
  stop(): Promise<void>
  /** Sends `SIGKILL`, or the signal given, and waits until the server has gone (not for `SIGSTOP` and `SIGCONT`). Absent for `uri`. */
  kill?(signal?: NodeJS.Signals): Promise<void>
  /** Starts the server again on the same port and data, after stopping it if it still runs. Absent for `uri`. */
  restart?(): Promise<void>
}

/** A program that can be started as the database. */
export type Engine = {
  readonly source: SourceName
  readonly standIn: boolean
  /** Its name in the log: `SecantusDB 0.7.0b3 (a stand-in …)`. */
  readonly label: string
  /** Its folder inside `dataDir`: engines can't read each other's files. */
  readonly folder: string
  readonly file: string
  args(place: { port: number; folder: string }): string[]
  /** Matches the line of its output when it accepts connections. */
  readonly ready: RegExp
}

/** What finding an engine needs to know. */
export type Search = {
  env: NodeJS.ProcessEnv
  log: (line: string) => void
  options: Pick<StartMongoOptions, 'syncOnCommit' | 'enableTestCommands' | 'oplogMaxEntries'>
}

/** Finds an engine, or throws an error with the reason why there is none here. */
export type FindEngine = (search: Search) => Promise<Engine>
