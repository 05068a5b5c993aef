export { type ByteSize, byteSize } from './byte-size.ts'
export type { FileSpec } from './content.ts'
export type { FaultName } from './faults.ts'
export { type FileServer, type FileServerOptions, type Served, startFileServer } from './file-server.ts'
