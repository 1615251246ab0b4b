// Swagger UI on our document. Nothing is sent to a validator elsewhere.
window.onload = () => {
  window.ui = SwaggerUIBundle({
    url: "/api/openapi.json", dom_id: "#page", deepLinking: true, tryItOutEnabled: true, validatorUrl: null,
  });
};
