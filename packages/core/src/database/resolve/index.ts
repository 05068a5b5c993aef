export { checkUri, requireReplicaSet } from './from-uri.ts'
export { maskSecrets } from './mask.ts'
export { startMongo } from './start-mongo.ts'
export { type RunningMongo, type SourceName, type StartMongoOptions, sourceNames } from './types.ts'
