export { addHeader, type ListedDownload, readAddressList } from './address-list.ts'
export { checkListed, requireFew } from './check-input.ts'
export { readMetalink } from './metalink.ts'
