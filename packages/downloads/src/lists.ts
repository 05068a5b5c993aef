export { addHeader, type ListedDownload, readAddressList } from './address-list.ts'
export { checkDownloadInput } from './check-input.ts'
export { readMetalink } from './metalink.ts'
