export type { DownloadInput, DownloadOptions, DownloadOutput } from './contract.ts'
export { downloadInput } from './contract.ts'
export { checkRoot } from './destination.ts'
export { createDownload, downloadDefinition } from './download.ts'
