export { addHeader, type ListedDownload, readAddressList } from './address-list.ts'
export { checkDownloadInput } from './check-input.ts'
