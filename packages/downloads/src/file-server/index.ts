export { byteSize } from './byte-size.ts'

export { type FileServer, type FileServerOptions, startFileServer } from './file-server.ts'
