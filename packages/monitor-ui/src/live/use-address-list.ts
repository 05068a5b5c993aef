import type { AddressList } from '@taskfleet/download-contract'
import { useEffect, useState } from 'react'
import { wireError } from './wire-error.ts'

/** The rules of addresses, with the schema of a download's input: loaded with the page of downloads, and not before. */
export const loadLists = (): Promise<typeof import('@taskfleet/download-contract')> =>
  import('@taskfleet/download-contract')

/** The largest list, in characters. Longer ones are for the command line. */
export const LIST_LIMIT = 2 ** 20
/** The longest list, as for all lists of tasks. */
const MOST_ADDRESSES = 10_000

/** What a text of addresses means. */
export interface ReadList extends AddressList {
  /** What was read. */
  text: string
  folder: string
  /** Why it can't be used although each line is good. */
  problem: string | undefined
  /** Why the folder can't be used. */
  folderProblem: string | undefined
}

/** Reads a list while it is typed. Undefined while it is empty, or before it was read for the first time. */
export function useAddressList(text: string, folder: string): ReadList | undefined {
  const [read, setRead] = useState<ReadList>()
  // The files are there when the first list comes, also if the gateway is away then.
  useEffect(() => void loadLists().catch(() => undefined), [])
  useEffect(() => {
    let mine = true
    readList(text, folder).then(
      (list) => mine && setRead(list),
      (thrown: unknown) =>
        mine && setRead({ ...NOTHING, text, folder, problem: `The list can't be read: ${wireError(thrown).message}` }),
    )
    return () => {
      mine = false
    }
  }, [text, folder])
  return text.trim() === '' && folder === '' ? undefined : read
}

const NOTHING = { downloads: [], bad: [], problem: undefined, folderProblem: undefined }

async function readList(text: string, folder: string): Promise<ReadList> {
  const { parseAddressList, checkDownloadInput } = await loadLists()
  if (text.length > LIST_LIMIT) return { ...NOTHING, text, folder, problem: tooLong('1 MB of text') }
  const { downloads, bad } = parseAddressList(text, 'list')
  const problem = downloads.length > MOST_ADDRESSES ? tooLong('10,000 addresses') : undefined
  let folderProblem: string | undefined
  try {
    if (folder !== '') checkDownloadInput({ url: 'https://localhost/', folder })
  } catch (error) {
    folderProblem = wireError(error).message
  }
  return { text, folder, downloads, bad, problem, folderProblem }
}

const tooLong = (most: string): string =>
  `A list here has at most ${most}. For a longer one: taskfleet download -i list.txt`
