import { useEffect, useRef, useState } from 'react'

/**
 * Which row of a `cmdk` list is chosen: the first one while rows come in, because Enter then does what stands at the
 * top; from the first arrow key or movement of the pointer on the one that was chosen, until the text changes.
 * `cmdk` itself keeps the row that was first before the others arrived.
 */
export function useFirstRow(text: string) {
  const list = useRef<HTMLDivElement>(null)
  const byHand = useRef(false)
  const [row, setRow] = useState('')

  useEffect(() => {
    byHand.current = false
  }, [text])

  useEffect(() => {
    const chooseFirst = () => {
      const first = list.current?.querySelector<HTMLElement>('[cmdk-item]')?.dataset.value
      if (!byHand.current && first !== undefined) setRow(first)
    }
    const observer = new MutationObserver(chooseFirst)
    observer.observe(list.current!, { childList: true, subtree: true })
    return () => observer.disconnect()
  }, [])

  return {
    list,
    row,
    setRow,
    onKeyDown({ key }: { key: string }) {
      if (MOVES.has(key)) byHand.current = true
    },
    onPointerMove() {
      byHand.current = true
    },
  }
}

const MOVES = new Set(['ArrowUp', 'ArrowDown', 'Home', 'End'])
