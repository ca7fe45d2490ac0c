"use strict";

// The table of clips: one body for each operating point, sorted by a click on a heading.
const scores = document.getElementById("scores");
const headings = [...scores.tHead.rows[0].cells];

document.getElementById("point").addEventListener("change", (event) => {
  for (const body of scores.tBodies) body.hidden = body.dataset.point !== event.target.value;
});

headings.forEach((heading, column) =>
  heading.addEventListener("click", () => {
    const descending = heading.ariaSort !== "descending";
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.ariaSort = descending ? "descending" : "ascending";
    const shown = (row) => row.cells[column].textContent;
    for (const body of scores.tBodies) {
      const rows = [...body.rows].sort((a, b) => {
        const [left, right] = [parseFloat(shown(a)), parseFloat(shown(b))];
        if (column < 2) return shown(a).localeCompare(shown(b));
        return (isNaN(left) ? -Infinity : left) - (isNaN(right) ? -Infinity : right);
      });
      body.append(...(descending ? rows.reverse() : rows));
    }
  }),
);

// Players: one at a time, each version from where the last one stopped, a line over the spectrogram.
for (const example of document.querySelectorAll(".example")) {
  let last = null;
  for (const version of example.querySelectorAll(".version")) {
    const audio = version.querySelector("audio");
    const picture = version.querySelector(".picture");
    const line = picture.querySelector("i");
    const follow = () => {
      line.style.left = `${(100 * audio.currentTime) / audio.duration}%`;
      line.classList.toggle("on", !audio.paused || audio.currentTime > 0);
      if (!audio.paused) requestAnimationFrame(follow);
    };
    audio.addEventListener("play", () => {
      if (last && last !== audio && !last.ended) audio.currentTime = last.currentTime;
      last = audio;
      for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
      follow();
    });
    audio.addEventListener("seeked", follow);
    picture.addEventListener("click", (event) => {
      const box = picture.getBoundingClientRect();
      last = audio;
      audio.currentTime = (audio.duration * (event.clientX - box.left)) / box.width;
      audio.play();
    });
  }
}
