import { useEffect, useRef, useState } from 'react'
import { LIST_LIMIT } from '../live/use-address-list.ts'

const TEXTS = ['text/uri-list', 'text/plain']
const FIELDS = 'input, textarea, select, [contenteditable]'

/**
 * Takes text that is dropped or pasted anywhere on the page: files, links and selected text. What is pasted into a field stays there, and so is
 * whatever comes while a dialog is open.
 *
 * @param onText called with the text of each
 */
export function useDropped(onText: (text: string) => void): {
  /** Whether something is dragged over the page. */
  over: boolean
  /** Why the last one could not be read. */
  failed: string | undefined
} {
  const [over, setOver] = useState(false)
  const [failed, setFailed] = useState<string>()
  const latest = useRef(onText)
  latest.current = onText
  useEffect(() => {
    const take = (text: Promise<string> | string): void => {
      setFailed(undefined)
      Promise.resolve(text).then(
        (read) => read.trim() !== '' && latest.current(read),
        (error: Error) => setFailed(error.message),
      )
    }
    const onOver = (event: DragEvent): void => {
      if (isBehindDialog() || !isText(event.dataTransfer)) return
      // Without this, the browser would open what is dropped.
      event.preventDefault()
      setOver(true)
    }
    const onLeave = (event: DragEvent): void => {
      if (event.relatedTarget === null) setOver(false)
    }
    const onDrop = (event: DragEvent): void => {
      setOver(false)
      if (isBehindDialog() || !isText(event.dataTransfer)) return
      event.preventDefault()
      take(textOf(event.dataTransfer!))
    }
    const onPaste = (event: ClipboardEvent): void => {
      const pasted = event.clipboardData?.getData('text/plain') ?? ''
      const target = event.target instanceof HTMLElement ? event.target : undefined
      if (pasted === '' || isBehindDialog() || target?.matches(FIELDS)) return
      event.preventDefault()
      take(pasted)
    }
    document.addEventListener('dragover', onOver)
    document.addEventListener('dragleave', onLeave)
    document.addEventListener('drop', onDrop)
    document.addEventListener('paste', onPaste)
    return () => {
      document.removeEventListener('dragover', onOver)
      document.removeEventListener('dragleave', onLeave)
      document.removeEventListener('drop', onDrop)
      document.removeEventListener('paste', onPaste)
    }
  }, [])
  return { over, failed }
}

const isBehindDialog = (): boolean => document.querySelector('dialog[open]') !== null

const isText = (data: DataTransfer | null): boolean =>
  data !== null && ['Files', ...TEXTS].some((type) => data.types.includes(type))

/** The text of files, else the dragged links, else the dragged text. */
async function textOf(data: DataTransfer): Promise<string> {
  const files = [...data.files]
  if (files.length > 0) return (await Promise.all(files.map(textOfFile))).join('\n')
  return TEXTS.map((type) => data.getData(type)).find((text) => text.trim() !== '') ?? ''
}

async function textOfFile(file: File): Promise<string> {
  if (file.size > LIST_LIMIT) throw new Error(`${file.name} is no list for this page: it has more than 1 MB`)
  const text = await file.text()
  if (text.includes('\0')) throw new Error(`${file.name} is no text: drop a list with one address a line`)
  return text
}
