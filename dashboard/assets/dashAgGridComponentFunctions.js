/* Cells of the article grid. All content is React text nodes, so that a title is never parsed as HTML. */
var dagcomponentfuncs = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});

/* Client-side navigation as dcc.Link does it. With a modifier key the browser opens a tab or window as usual. */
function tocsinNavigate(event) {
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
    { href: props.data.page, title: props.value, className: "page", onClick: tocsinNavigate },
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

dagcomponentfuncs.Materiality = function (props) {
  return React.createElement("span", { className: "materiality level" + props.data.level }, props.data.materiality_text);
};

dagcomponentfuncs.Sentiment = function (props) {
  return React.createElement("span", { className: "sentiment " + props.data.sentiment }, props.data.sentiment_text);
};
