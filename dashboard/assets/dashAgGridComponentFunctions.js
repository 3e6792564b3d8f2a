/* Cells of the articles' grid. Everything is a React text node: no HTML is ever made from a title. */
var dagcomponentfuncs = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});

/* To a page of ours without loading everything anew, as dcc.Link does it; with a key held down the browser does what it always does. */
function tocsinGo(event) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button) { return; }
  event.preventDefault();
  window.history.pushState({}, "", event.currentTarget.getAttribute("href"));
  window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
  window.scrollTo(0, 0);
}

dagcomponentfuncs.ArticleTitle = function (props) {
  var url = props.data.url || "";
  var title = React.createElement(
    "a",
    { href: props.data.page, title: props.value, className: "page", onClick: tocsinGo },
    React.createElement("bdi", null, props.value)
  );
  if (!/^https?:\/\//i.test(url)) { return title; }
  return React.createElement(
    "span",
    null,
    title,
    " ",
    React.createElement(
      "a",
      { href: url, target: "_blank", rel: "noopener noreferrer nofollow", className: "out", "aria-label": props.data.open },
      "↗"
    )
  );
};

dagcomponentfuncs.Sentiment = function (props) {
  return React.createElement("span", { className: "sentiment " + props.data.sentiment }, props.data.sentiment_text);
};
